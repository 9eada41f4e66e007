"""Checks within seconds whether Ray can be joined at an address, or started here; Ray would try for a quarter of an hour."""

from __future__ import annotations

import os
import socket

from ray._common.utils import get_default_ray_temp_dir
from ray._private.services import canonicalize_bootstrap_address

ANSWER_S = 10.0
"""Seconds for a connection, and as many for an answer."""
CLIENT, CLIENT_PORT = "ray://", 10001
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""The first bytes of a gRPC connection (RFC 9113, 3.4), with empty settings."""
LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path, at most."""
SESSION = "session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
"""The longest path of a socket in Ray's folder."""


def target_of(address: str | None) -> str:
    """The address that is used: `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


def describe(address: str | None) -> str:
    """The target in words, with the variable that it comes from."""
    target = target_of(address)
    if target == "local":
        return "this machine"
    return target if address else f"{target} (from RAY_ADDRESS)"


def check(address: str | None) -> None:
    """Raises ConnectionError when nothing answers as Ray does, and ValueError for an unusable address or temporary folder."""
    target = target_of(address)
    if target == "local":
        _check_temp_dir(get_default_ray_temp_dir())
        return
    if target == "auto":
        target = canonicalize_bootstrap_address("auto") or target
    host, colon, port = target.removeprefix(CLIENT).partition("/")[0].rpartition(":")
    if target.startswith(CLIENT) and not colon:
        host, port = port, str(CLIENT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError("an address is HOST:PORT, ray://HOST:PORT, auto for a cluster of this machine, or local to start one")
    _check_server(host.strip("[]"), int(port))


def _check_server(host: str, port: int) -> None:
    """Raises ConnectionError when no gRPC server answers in time."""
    try:
        with socket.create_connection((host, port), ANSWER_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return
            connection.sendall(PREFACE)
            answer = connection.recv(9)
    except TimeoutError:
        raise ConnectionError(f"no answer within {ANSWER_S:g} s") from None
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from None
    if answer[3:4] != b"\x04":  # a frame with the server's settings comes first
        raise ConnectionError("what listens there is not Ray")


def _check_temp_dir(folder: str) -> None:
    """Raises ValueError when the sockets' paths in Ray's temporary folder would be too long for the system."""
    excess = len(os.fsencode(os.path.join(folder, SESSION))) - LONGEST_SOCKET  # noqa: PTH118  # as Ray joins them
    if excess > 0:
        variable = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
        raise ValueError(
            f"{variable} is {excess} characters too long for the paths of Ray's sockets, which lie in {folder}; set RAY_TMPDIR "
            "to a shorter folder, such as RAY_TMPDIR=/tmp"
        )
