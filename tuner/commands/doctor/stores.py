"""The stores that the driver writes to, really opened, and nothing written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.commands.doctor.finding import Finding, failed, passed

STORE_S = 30.0


def database(storage: str, run_dir: Path) -> Finding:
    """Optuna's storage. `run_dir` is the folder that the search will make."""
    from tuner.study.storage import probe

    mend = "give --storage an address whose server runs, whose database exists and whose user may write"
    return _in_time("database", mask_credentials(storage), lambda: probe(storage, run_dir), mend)


def tracking(uri: str, run_dir: Path) -> Finding:
    """MLflow's store or server. `run_dir` as for `database`."""
    from tuner.study.storage import probe
    from tuner.tracking.mlflow import read_experiment

    is_server = uri.startswith(("http", "databricks"))
    mend = "give --tracking-uri a server that answers, or a database that exists"
    return _in_time(
        "tracking", mask_credentials(uri), lambda: read_experiment(uri, "-") if is_server else probe(uri, run_dir), mend
    )


def _in_time(check: str, told: str, opening: Callable[[], Any], mend: str, seconds: float = STORE_S) -> Finding:
    """Whether `opening` returns in time."""
    outcome: list[Finding] = []

    def attempt() -> None:
        try:
            opening()
        except ConfigError as error:
            outcome.append(failed(check, mask_credentials("; ".join(error.problems)), mend))
        except Exception as error:  # a driver of a database raises what it likes
            outcome.append(failed(check, mask_credentials(f"{told}: {type(error).__name__}: {error}"), mend))
        else:
            outcome.append(passed(check, told))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else failed(check, f"{told} gives no answer within {seconds:g} s", mend)
