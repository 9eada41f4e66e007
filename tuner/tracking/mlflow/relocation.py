"""Corrects the paths of artifacts in MLflow's database after a run's folder was moved, renamed or copied."""

from __future__ import annotations

import itertools
from pathlib import Path

from sqlalchemy import String, column, create_engine, func, table, update
from sqlalchemy.exc import SQLAlchemyError

from tuner.artifacts.addresses import file_of, mask_credentials
from tuner.config import run_folder
from tuner.tracking.mlflow.client import is_server, may_exist

PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""The columns of each table that hold absolute paths of artifacts, or their `file:` URIs."""


def relocate(folder: Path, tracking_uri: str) -> None:
    """Replace the former folder of a moved run in the paths of its artifacts; a server has its own artifacts.

    Changes nothing for a copy whose database is its original's too.
    Raises ConnectionError, with the reason in one line, when the database cannot be changed.
    """
    former = run_folder.former_folder(folder)
    if former is None or is_server(tracking_uri) or not may_exist(tracking_uri):
        return
    file = file_of(tracking_uri)
    if former.exists() and (file is None or not file.resolve().is_relative_to(folder.resolve())):
        return
    moves = [(f"{former}/", f"{folder.resolve()}/"), (f"{former.as_uri()}/", f"{folder.resolve().as_uri()}/")]
    try:
        engine = create_engine(tracking_uri)
        with engine.begin() as connection:
            for (name, columns), (before, now) in itertools.product(PATHS.items(), moves):
                for path in (column(one, String) for one in columns):
                    is_former = path.startswith(before, autoescape=True)
                    moved = func.replace(path, before, now)
                    connection.execute(update(table(name, path)).where(is_former).values({path: moved}))
        engine.dispose()
    except SQLAlchemyError as error:
        reason = mask_credentials(" ".join(str(error).split()))[:400]
        raise ConnectionError(f"the paths of the artifacts in MLflow still name {former}: {reason}") from error
