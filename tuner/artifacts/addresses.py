"""Addresses of stores: validation, absolute paths, and removal of passwords.

`$NAME` in an address stands for an environment variable, which is expanded where the address is used and never stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from model.config import ConfigError

JOURNAL, SQLITE = "journal:", "sqlite:///"
MLFLOW_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")
_SECRET_ARGUMENT = re.compile(r"([?&](?:password|passwd|pwd|token|secret|api_key|sslpassword)=)[^&\s]*", re.IGNORECASE)
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!file:|:memory:)([^?]+)(\?.*)?")
_IN_MEMORY = re.compile(r"memory:.*|sqlite(\+\w+)?:/{0,3}(file:)?(:memory:)?(\?.*)?|sqlite.*[?&]mode=memory\b.*")


def file_of(address: str) -> Path | None:
    """The file of an address `journal:FILE` or `sqlite:///FILE`; None for any other address."""
    if address.startswith(JOURNAL):
        return Path(address.removeprefix(JOURNAL))
    match = _SQLITE_FILE.fullmatch(address)
    return Path(unquote(match[2])) if match else None


def absolute(address: str) -> str:
    """The address of a file with its absolute path; any other address unchanged."""
    file, match = file_of(address), _SQLITE_FILE.fullmatch(address)
    if file is None:
        return address
    return f"{match[1]}{_encoded(file.absolute())}{match[3] or ''}" if match else f"{JOURNAL}{file.absolute()}"


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, absolute."""
    return SQLITE + _encoded(path.resolve())


def _encoded(path: Path) -> str:
    """A path for the URL of an SQLite file: only what SQLAlchemy would read as something else is encoded."""
    return re.sub("[%?]", lambda match: quote(match[0]), str(path))


def in_memory_problem(flag: str, address: str) -> list[str]:
    """A sentence when the database would be lost with the process."""
    if not _IN_MEMORY.fullmatch(address):
        return []
    return [f"{flag} {address} is kept in memory and lost with the process; give a file, such as sqlite:///study.db"]


def expand(address: str) -> str:
    """Replace `$NAME` and `${NAME}` in an address by their values. Raises `ConfigError` for an unset variable.

    A value that is part of the address, such as a password, is percent-encoded; one that is the whole address is not.
    """
    names = [braced or bare for braced, bare in _REFERENCE.findall(address)]
    unset = [name for name in dict.fromkeys(names) if name not in os.environ]
    if unset:
        raise ConfigError(
            [f"the address {mask_credentials(address)} needs the environment variable(s) {', '.join(unset)}: set them"]
        )
    if _REFERENCE.fullmatch(address):
        return os.environ[names[0]]
    return _REFERENCE.sub(lambda match: quote(os.environ[match[1] or match[2]], safe=""), address)


def without_password(address: str) -> str:
    """The address without passwords in clear text, for storing; `$NAME` stays."""
    scheme, separator, rest = address.partition("://")
    login, at, host = rest.rpartition("@")
    user, _, password = login.partition(":")
    kept = login if not password or _REFERENCE.fullmatch(password) else user
    return _SECRET_ARGUMENT.sub(
        lambda match: match[0] if _REFERENCE.fullmatch(match[0].removeprefix(match[1])) else match[1],
        f"{scheme}{separator}{kept}{at}{host}",
    )


def in_environment(address: str) -> dict[str, str]:
    """The login of an address as the environment variables that its client library reads."""
    parts = urlsplit(address)
    scheme, password = parts.scheme.partition("+")[0], unquote(parts.password or "")
    if not password:
        return {}
    if scheme == "postgresql":
        return {"PGPASSWORD": password}
    if scheme in ("http", "https"):
        return {"MLFLOW_TRACKING_USERNAME": unquote(parts.username or ""), "MLFLOW_TRACKING_PASSWORD": password}
    return {}


def mask_credentials(text: str) -> str:
    """Mask the passwords of all addresses in `text`: `postgresql://ann:***@host/db`; when in doubt it masks more."""
    return _SECRET_ARGUMENT.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def resolve_tracking_uri(tracking_uri: str | None, run_dir: Path) -> str:
    """The tracking URI with an absolute path; by default SQLite in the run folder. Raises `ConfigError`."""
    if tracking_uri is None:
        return sqlite_url(run_dir / "mlflow.db")
    in_memory = in_memory_problem("--tracking-uri", tracking_uri)
    if in_memory:
        raise ConfigError(in_memory)
    scheme = tracking_uri.partition("://")[0].partition("+")[0]
    if tracking_uri != "databricks" and ("://" not in tracking_uri or scheme not in MLFLOW_SCHEMES):
        allowed = "sqlite:///FILE.db, http://HOST:PORT, or a postgresql, mysql or mssql address"
        raise ConfigError(
            [f"--tracking-uri {mask_credentials(tracking_uri)} is not a store that MLflow can use; give {allowed}"]
        )
    return absolute(tracking_uri)


PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "http": 80, "https": 443}


def endpoint(address: str) -> tuple[str, int] | None:
    """Host and port of a store on the network; None for a file, and for an address without a known port."""
    parts = urlsplit(address)
    scheme = parts.scheme.partition("+")[0]
    try:
        return (parts.hostname, parts.port or PORTS[scheme]) if parts.hostname and scheme in PORTS else None
    except ValueError:  # a port that is not a number
        return None
