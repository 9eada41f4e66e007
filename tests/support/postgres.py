"""A real PostgreSQL server for tests: the distribution's programs, a data folder of its own, loopback alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "open-sesame"
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps each version's programs."""


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name))
    )
    return next((path for path in reversed(folders) if (path / "postgres").exists()), None)


def owner() -> dict[str, Any]:
    """Who runs the server: PostgreSQL refuses root, who lends it the user of Debian's package, or nobody."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """A server that can be stopped and started again, on the same port and data."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to other users
        self._owner = owner()
        if self._owner:
            os.chown(self._folder, self._owner["user"], self._owner["group"])
        password = self._folder / "password"
        password.write_text(f"{PASSWORD}\n", encoding="utf-8")
        password.chmod(0o644)
        login = ("--username", "ann", "--auth", "scram-sha-256", "--pwfile", str(password))
        self._run("initdb", *login, "--no-sync", "--pgdata", str(self._folder / "data"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """With the password in clear: what shows it tells a secret."""
        return f"postgresql://ann:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *arguments], stdout=log, stderr=log, **self._owner
            )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self._answers():
                return
            time.sleep(0.1)
        raise TimeoutError(f"PostgreSQL did not start: {(self._folder / 'log').read_text(encoding='utf-8')}")

    def _answers(self) -> bool:
        """Whether it takes statements: its port is open before, while it still starts."""
        import psycopg

        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Drop all connections and end, as a restart of the server does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def create(self, database: str) -> str:
        """A new, empty database; returns its URL."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{database}"'.encode())
        return self.url(database)

    def dump(self, database: str) -> str:
        """All that a database holds."""
        return self._run("pg_dump", "--dbname", self.url(database)).stdout.decode()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._programs / program, *arguments], check=True, capture_output=True, timeout=120, cwd="/", **self._owner
        )


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    """This test process's one server, which is up: each test has databases of its own."""
    return _shared(pytestconfig)


@cache
def _shared(config: pytest.Config) -> Server:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed here (Debian's package postgresql)")
    server = Server(found)
    config.add_cleanup(server.remove)
    server.start()
    return server
