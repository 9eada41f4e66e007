"""An MLflow database that is migrated already and otherwise empty: making one takes seconds, copying it does not."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


def put_into(folder: Path, name: str = "mlflow.db") -> None:
    """Write it to a file, by default the one that `MlflowTracking(None, folder, ...)` looks for."""
    (folder / name).write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient  # some tests are of what is imported when

        path = Path(folder) / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
        return path.read_bytes()
