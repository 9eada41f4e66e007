"""Workers forked from a process that has imported ahead: they are what a new process would be, and outlive nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import fork
from tests.support.forks import answers, key
from tests.support.waiting import wait_until

__all__ = ["key"]  # fixtures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are named as Linux alone can name them")

AHEAD = "colorsys"
"""A module that nothing else imports."""
SCRIPT = """
import json, os, signal, sys
print(json.dumps({
    "argv": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "parent": os.getppid(),
    "ahead": "colorsys" in sys.modules, "name": __name__, "leads": os.getpgrp() == os.getpid(),
    "signals": [signal.getsignal(number) is default for number, default in (
        (signal.SIGCHLD, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))],
    "beside": sys.path[0],
}))
print("told", file=sys.stderr)
print(sys.stdin.read(), end="")
sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a fork server begun, and lives until its input ends."""
    code = (
        "import sys; from cluster import fork\nwith fork.ahead(sys.argv[1:]) as serve: serve(input() or None); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, AHEAD], stdin=subprocess.PIPE)
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def begin_server(owner: subprocess.Popen[bytes], key: str) -> None:
    assert owner.stdin is not None
    owner.stdin.write(f"{key}\n".encode())
    owner.stdin.flush()
    wait_until(lambda: not key or answers(key))


def start(key: str, script: Path, folder: Path) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """What a worker says of itself, started as Ray does: by a shell, in place of Python."""
    done = subprocess.run(
        f"exec {fork.python(key, [AHEAD])} {script} --one 'two words'",
        shell=True,
        capture_output=True,
        text=True,
        input="given",
        cwd=folder,
        env={**os.environ, "OF_THE_WORKER": "ä", "PYTHONPATH": str(fork.PROJECT)},
        timeout=60,
    )
    said, rest = done.stdout.split("\n", 1)
    assert (rest, done.stderr) == ("given", "told\n")
    return json.loads(said), done


def test_a_forked_worker_is_what_python_would_have_started(
    key: str, owner: subprocess.Popen[bytes], script: Path, tmp_path: Path
) -> None:
    begin_server(owner, key)
    found, _ = start(key, script, tmp_path)
    alone, done = start("x" * 200, script, tmp_path)  # no such name can be: it starts by itself
    assert done.returncode == 3
    assert (found["ahead"], alone["ahead"]) == (True, False)
    assert found["argv"] == alone["argv"] == ["--one", "two words"]
    for told in ("folder", "environment", "name", "beside", "signals"):
        assert found[told] == alone[told], told
    assert found["signals"][0]
    assert found["environment"]["OF_THE_WORKER"] == "ä"
    assert found["leads"], "Ray ends a worker with its whole process group"


def test_the_first_worker_begins_the_server_and_the_next_has_the_same(key: str, script: Path, tmp_path: Path) -> None:
    first, _ = start(key, script, tmp_path)
    second, _ = start(key, script, tmp_path)
    assert first["ahead"]
    assert first["parent"] == second["parent"]
    os.kill(first["parent"], 9)  # its owner is this process


def test_workers_outlive_a_killed_server_and_the_next_begins_another(key: str, tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import os\nprint(os.getppid(), flush=True)\ninput()\nprint('done', flush=True)\n", encoding="utf-8")
    command = f"exec {fork.python(key, [AHEAD])} {sleeper}"
    workers, servers = [], []
    for _ in range(2):
        worker = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        workers.append(worker)
        servers.append(int(worker.stdout.readline()))
        os.kill(servers[-1], 9)
        wait_until(lambda: not answers(key))
    assert servers[0] != servers[1]
    assert [worker.communicate("\n", timeout=30)[0] for worker in workers] == ["done\n"] * 2


@pytest.mark.parametrize("killed", [True, False])
def test_a_server_ends_with_its_owner(key: str, owner: subprocess.Popen[bytes], killed: bool) -> None:
    begin_server(owner, key)
    if killed:
        owner.kill()
    elif owner.stdin is not None:
        owner.stdin.close()
    owner.wait()
    wait_until(lambda: not answers(key), timeout_s=20.0)  # each question takes a place in the server's backlog


def test_what_was_imported_ahead_in_vain_ends(owner: subprocess.Popen[bytes]) -> None:
    begin_server(owner, "")
    children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children")
    wait_until(lambda: children.read_text() != "")
    (server,) = children.read_text().split()
    wait_until(lambda: Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_server_that_nobody_needs_ends(key: str) -> None:
    code = "import os, sys; from cluster import fork; fork.IDLE_S, fork.TICK_S = 0.5, 0.1; fork._serve(sys.argv[1], 'json', 1)"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code, key], check=True, timeout=60)
    assert time.monotonic() - began > 0.5


def test_a_node_has_one_server_of_a_search(key: str, owner: subprocess.Popen[bytes]) -> None:
    begin_server(owner, key)
    assert fork._serve(key, AHEAD, os.getpid()) is None


def test_searches_of_a_process_share_a_server_that_ends_with_it(key: str) -> None:
    code = (
        "import sys; from cluster import fork\nfor _ in range(2): fork.keep(sys.argv[1], ['colorsys'])\n"
        "print(*{server.pid for server in fork._kept.values()}, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert len(process.stdout.readline().split()) == 1
        wait_until(lambda: answers(key))
        process.stdin.close()
        process.wait()
    wait_until(lambda: not answers(key), timeout_s=20.0)


def test_another_users_process_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        fork._check_user(one)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(PermissionError):
            fork._check_user(one)


def test_what_cannot_be_imported_ahead_hinders_no_worker(key: str, script: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; from cluster import fork; sys.argv[0] = ''; fork._begin({key!r}, 'no.such.module,{AHEAD}', {os.getpid()})"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    wait_until(lambda: answers(key))
    found, _ = start(key, script, tmp_path)
    assert found["ahead"]
    os.kill(found["parent"], 9)
