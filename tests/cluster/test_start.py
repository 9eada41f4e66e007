"""The script that makes a machine a node of a cluster: a real cluster of two raylets, with its token."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "start.sh"
RAYS_OWN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")
CLIENT = """
import signal, sys, time
from cluster import connect

def own(*_): ...

signal.signal(signal.SIGTERM, own)
try:
    connect.connect(sys.argv[1])
except ConnectionError as error:
    sys.exit(f"refused: {error}")
end = time.monotonic() + 60
while len(connect.nodes()) < 2 and time.monotonic() < end:
    time.sleep(0.2)
assert signal.getsignal(signal.SIGTERM) is own
print(len(connect.nodes()), "nodes")
connect.disconnect()
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """A user's own, with `home` as the home folder and no token."""
    own = {name: value for name, value in os.environ.items() if name not in RAYS_OWN}
    path = f"{Path(sys.executable).parent}:{own['PATH']}"
    return {**own, "PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*arguments], env=environment(home, **more), capture_output=True, text=True, timeout=120)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Machine:
    """The script, running as it would on a machine of its own."""

    def __init__(self, folder: Path, home: Path, *arguments: str, **more: str) -> None:
        self._log = folder / f"{arguments[0]}.log"
        command = [SCRIPT, *arguments, "--num-cpus", "1", "--temp-dir", str(folder / arguments[0])]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment(home, **more), stdout=log, stderr=log)

    def wait_until_up(self) -> None:
        end = time.monotonic() + 90
        while "will now block forever" not in self._log.read_text(encoding="utf-8"):
            assert self._process.poll() is None and time.monotonic() < end, self._log.read_text(encoding="utf-8")
            time.sleep(0.2)

    def processes(self) -> list[psutil.Process]:
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def listens_on(self, port: int) -> set[str]:
        """Addresses on which this machine's processes take connections at `port`."""
        found = [connection for process in self.processes() for connection in process.net_connections("tcp")]
        return {connection.laddr.ip for connection in found if connection.status == "LISTEN" and connection.laddr.port == port}

    def stop(self) -> list[psutil.Process]:
        """SIGTERM, as Ctrl-C in the script's terminal would; what is left of its processes then is returned, and killed."""
        processes = self.processes()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)
        _, left = psutil.wait_procs(processes, timeout=30)
        for process in left:
            process.kill()
        return left


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="two-") as name:  # Ray's sockets lie in it, and their paths must be short
        yield Path(name)


@pytest.mark.slow
@pytest.mark.cluster
def test_two_machines_and_a_search_that_joins(folder: Path) -> None:
    import ray

    first, second = folder / "first", folder / "second"
    first.mkdir()
    second.mkdir()
    port, dashboard = free_port(), free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    token = first / ".ray" / "auth_token"
    head = Machine(folder, first, "head", "--dashboard-port", str(dashboard), RAY_PORT=str(port))
    machines = [head]
    try:
        head.wait_until_up()
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert head.listens_on(dashboard) == {"127.0.0.1"}
        machines.append(Machine(folder, second, "worker", address, RAY_AUTH_TOKEN_PATH=str(token)))
        machines[1].wait_until_up()
        with_token = run(sys.executable, "-c", CLIENT, address, home=first, RAY_AUTH_MODE="token")
        assert with_token.stdout == "2 nodes\n", with_token.stderr
        told = "where it asks for a token, set RAY_AUTH_MODE=token"
        without = run(sys.executable, "-c", CLIENT, address, home=second, RAY_AUTH_MODE="token")
        assert without.returncode == 1
        assert "refused: " in without.stderr and told in without.stderr and "Traceback" not in without.stderr
    finally:
        left = [process for machine in reversed(machines) for process in machine.stop()]
    assert left == []


@pytest.mark.slow
def test_a_machine_without_the_token_is_told_how_to_get_it(tmp_path: Path) -> None:
    done = run(str(SCRIPT), "worker", "10.0.0.1", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("this machine has no token; copy ~/.ray/auth_token from the head")


@pytest.mark.parametrize("arguments", [(), ("headd",), ("worker",), ("worker", "--num-cpus")])
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(str(SCRIPT), *arguments, home=tmp_path)
    assert (done.returncode, done.stderr) == (2, "usage: cluster/start.sh head|worker HEAD[:PORT] [OPTIONS OF ray start]\n")


def test_without_ray(tmp_path: Path) -> None:
    done = run("/bin/bash", str(SCRIPT), "head", home=tmp_path, PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (
        2,
        "there is no command ray here; activate the environment that has smart-tuner\n",
    )
