"""Addresses of stores: checked, made absolute, and shown without their passwords."""

from __future__ import annotations

import re
from pathlib import Path

from model.config import ConfigError

MLFLOW_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")
_SECRET_ARGUMENT = re.compile(r"([?&](?:password|passwd|pwd|token|secret|api_key|sslpassword)=)[^&\s]*", re.IGNORECASE)


def mask_credentials(text: str) -> str:
    """`text` with the passwords of its addresses replaced: `postgresql://ann:***@host/db`; masks too much, not too little."""
    return _SECRET_ARGUMENT.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def resolve_tracking_uri(tracking_uri: str | None, run_dir: Path) -> str:
    """The tracking URI with an absolute path: SQLite in the run folder when none is given. Raises `ConfigError`."""
    if tracking_uri is None:
        return f"sqlite:///{run_dir.resolve() / 'mlflow.db'}"
    scheme = tracking_uri.partition("://")[0].partition("+")[0]
    if tracking_uri != "databricks" and ("://" not in tracking_uri or scheme not in MLFLOW_SCHEMES):
        allowed = "sqlite:///FILE.db, http://HOST:PORT, or a postgresql, mysql or mssql address"
        raise ConfigError(
            [f"--tracking-uri {mask_credentials(tracking_uri)} is not a store that MLflow can use; give {allowed}"]
        )
    if tracking_uri.startswith("sqlite:///"):
        return f"sqlite:///{Path(tracking_uri.removeprefix('sqlite:///')).resolve()}"
    return tracking_uri
