"""Ask whether a fork server is there."""

from __future__ import annotations

import socket
import uuid

import pytest


@pytest.fixture
def key() -> str:
    return f"test-{uuid.uuid4().hex}"


def answers(key: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
        return there.connect_ex(f"\0{key}") == 0
