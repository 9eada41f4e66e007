"""Checks that the driver can open its stores, without writing to them."""

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
    """Check Optuna's storage. `run_dir` is the folder that the search will create."""
    from tuner.study.storage import probe

    advice = "give --storage an address whose server runs, whose database exists and whose user may write"
    return _in_time("database", storage, lambda: probe(storage, run_dir), advice)


def tracking(uri: str, run_dir: Path) -> Finding:
    """Check MLflow's store or server. `run_dir` as for `database`."""
    from tuner.study.storage import probe
    from tuner.tracking.mlflow import read_experiment

    is_server = uri.startswith(("http", "databricks"))
    advice = "give --tracking-uri a server that answers, or a database that exists"
    return _in_time("tracking", uri, lambda: read_experiment(uri, "-") if is_server else probe(uri, run_dir), advice)


def _in_time(check: str, address: str, open_store: Callable[[], Any], advice: str, seconds: float = STORE_S) -> Finding:
    """Check that `open_store` succeeds within `seconds`."""
    findings: list[Finding] = []

    def attempt() -> None:
        try:
            open_store()
        except ConfigError as error:
            findings.append(failed(check, mask_credentials("; ".join(error.problems)), advice))
        except Exception as error:  # database drivers have their own errors
            findings.append(failed(check, mask_credentials(f"{address}: {type(error).__name__}: {error}"), advice))
        else:
            findings.append(passed(check, mask_credentials(address)))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    late = f"{mask_credentials(address)} gives no answer within {seconds:g} s"
    return findings[0] if findings else failed(check, late, advice)
