"""Processes and nodes of a cluster that die, hang or leave, one at a time: a search comes to the same as the undisturbed one.

The searches are this process's. A node that joins in the middle is in `test_resources.py`, a killed driver in `test_kills.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cluster import connect, fork
from tests.support import raylets
from tests.support.raylets import actors, is_running, living_ranks
from tests.support.searches import SearchHere, outcomes, results_of, runs_of
from tests.support.spaces import small
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]

N_TRIALS, N_EVALUATIONS = 2, 4
SPACE = small(
    {"optim.dropout": {"choice": [0.0, 0.1]}},
    {"pair_encoding": "cosine", "optim.lr": 1e-3, "budget.examples": 960, "budget.evaluations": N_EVALUATIONS},
    trials=N_TRIALS,
    sampler="grid",
)
TOLD_TO_END = ": one of its nodes is about to shut down, or one of its processes got SIGTERM\n"
OBJECT_STORE = 80 * 2**20
"""Bytes: about the least that Ray accepts."""


def search(folder: Path, backbone: Path, *arguments: str) -> SearchHere:
    """A search of two trials of two ranks, one trial after the other, that saves each evaluation."""
    options = ["--workers-per-trial", "2", "--max-concurrent", "1", "--checkpoint-every", "0", *arguments]
    return SearchHere(folder, backbone, *options, text=SPACE)


Begin = Callable[..., SearchHere]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with room for one trial, to which each test adds the nodes it needs."""
    with raylets.cluster(num_cpus=2, object_store_memory=OBJECT_STORE) as started:
        yield started


@pytest.fixture(scope="module")
def calm(cluster: Any, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the undisturbed search comes to."""
    folder = tmp_path_factory.mktemp("calm")
    undisturbed = search(folder, tiny_backbone)
    assert undisturbed.end() == 0, undisturbed.err
    return outcomes(results_of(folder / "one"))


@pytest.fixture
def begin(cluster: Any, tmp_path: Path, tiny_backbone: Path) -> Begin:
    """Starts the test's search, with more options."""
    return lambda *arguments: search(tmp_path, tiny_backbone, *arguments)


@pytest.fixture
def head_is_taken(cluster: Any) -> Iterator[Callable[[], None]]:
    """Keeps trials off the head until it is called."""
    import ray

    held = ray.util.placement_group([{"CPU": 2}])
    assert held.wait(30)
    yield lambda: ray.util.remove_placement_group(held)
    ray.util.remove_placement_group(held)


def supervisor_of(rank: dict[str, Any]) -> int:
    """The process that started a rank."""
    (pid,) = {actor["Pid"] for actor in actors() if actor["Address"] == rank["OwnerAddress"]}
    return int(pid)


def forked_by(pid: int) -> tuple[str, str]:
    """What a process's parent does for `cluster.fork`, and whose it is."""
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    command = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
    role, _, _, owner = command[command.index(str(fork.FILE)) + 1 :][:4]
    return role, owner


def in_trial(number: int, search: SearchHere) -> None:
    """Wait until a trial has its first evaluation, and those before it are finished."""
    search.wait_for(f'"event": "evaluated", "number": {number}, ')


def evaluated(search: SearchHere, number: int) -> list[int]:
    events = [json.loads(line) for line in list(search.out)]
    return [event["index"] for event in events if event["event"] == "evaluated" and event["number"] == number]


def assert_as_if_nothing_had_been(search: SearchHere, folder: Path, calm: list[Any]) -> None:
    """The search ends well and like the undisturbed one; nothing is repeated in the record, and nothing is left behind."""
    import ray

    assert search.end() == 0, search.err
    found = results_of(folder / "one")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"] * N_TRIALS
    assert found["consistency"] == []
    assert outcomes(found) == calm
    runs, _ = runs_of(found)
    assert [run.info.status for run in runs] == ["FINISHED"] * (1 + N_TRIALS)
    assert {n: evaluated(search, n) for n in range(N_TRIALS)} == {n: list(range(1, N_EVALUATIONS + 1)) for n in range(N_TRIALS)}
    assert not any("Traceback" in line for line in search.err), search.err
    wait_until(lambda: not any(is_running(actor["Pid"]) for actor in actors()), "actors are left")
    placed = ray.util.placement_group_table
    wait_until(lambda: {group["state"] for group in placed().values()} <= {"REMOVED"}, "groups are left")


def lost(search: SearchHere, number: int) -> str:
    """Wait until a trial's processes are given up, and for the reason."""
    return search.wait_for(f"trial {number}: restarting from its last checkpoint")


def are_gone(ranks: Sequence[dict[str, Any]]) -> Callable[[], bool]:
    return lambda: not any(is_running(rank["Pid"]) for rank in ranks)


@pytest.fixture
def full_object_store(cluster: Any) -> Iterator[None]:
    """Others hold more in use than fits: there is no room left for the data, and nothing can be spilled to make some."""
    import numpy as np
    import ray

    n_bytes = 2**20
    held = []
    for _ in range(OBJECT_STORE // n_bytes + 4):
        reference = ray.put(np.zeros(n_bytes, np.uint8))
        held.append((reference, ray.get(reference)))  # in use from now on
    yield
    assert sum(values.nbytes for _, values in held) > OBJECT_STORE


@pytest.mark.usefixtures("full_object_store")
def test_a_rank_and_a_supervisor_that_are_killed_while_the_object_store_is_full(
    tmp_path: Path, begin: Begin, calm: list[Any]
) -> None:
    search = begin()
    in_trial(0, search)
    ranks = living_ranks()
    assert {forked_by(rank["Pid"]) for rank in ranks} == {("serve", str(os.getpid()))}
    os.kill(ranks[1]["Pid"], signal.SIGKILL)
    lost(search, 0)
    in_trial(1, search)
    ranks = living_ranks()
    os.kill(supervisor_of(ranks[0]), signal.SIGKILL)
    wait_until(are_gone(ranks), "the ranks outlive their supervisor")
    lost(search, 1)
    assert_as_if_nothing_had_been(search, tmp_path, calm)


def test_a_rank_that_is_told_to_end_and_one_that_hangs_in_a_collective(tmp_path: Path, begin: Begin, calm: list[Any]) -> None:
    """The first is saved, and nothing else makes a checkpoint here."""
    search = begin("--checkpoint-every", "1000", "--collective-timeout", "10")
    in_trial(0, search)
    os.kill(living_ranks()[0]["Pid"], signal.SIGTERM)
    assert lost(search, 0).endswith(TOLD_TO_END)
    assert n_checkpoints(tmp_path) == 1
    in_trial(1, search)
    assert n_checkpoints(tmp_path) == 0
    ranks = living_ranks()
    os.kill(ranks[0]["Pid"], signal.SIGSTOP)
    assert lost(search, 1).endswith(": a rank did not answer the others for 10 s (--collective-timeout)\n")
    wait_until(are_gone(ranks), "the gang still lives")
    assert_as_if_nothing_had_been(search, tmp_path, calm)


def n_checkpoints(folder: Path) -> int:
    return len(list((folder / "one" / "checkpoints").iterdir()))


@pytest.mark.parametrize("n_nodes", [2, pytest.param(3, marks=pytest.mark.endurance)])
def test_a_raylet_that_is_killed(
    tmp_path: Path, begin: Begin, cluster: Any, calm: list[Any], head_is_taken: Callable[[], None], n_nodes: int
) -> None:
    """The trial is on the second node or, spread, on the second and the third, and moves to the head."""
    others = [cluster.add_node(num_cpus=4 - n_nodes) for _ in range(n_nodes - 1)]
    where = ["--placement", "spread"] if n_nodes == 3 else []
    search = begin(*where, "--storage-path", str(tmp_path / "shared"))
    in_trial(1, search)
    head_is_taken()
    (raylet,) = others[0].all_processes["raylet"]
    raylet.process.kill()
    raylet.process.wait()  # a zombie would still count as its ranks' parent
    try:
        assert_as_if_nothing_had_been(search, tmp_path, calm)
    finally:
        for node in others:
            cluster.remove_node(node, allow_graceful=False)
        wait_until(only_the_head_is_there, "the nodes do not leave")


def only_the_head_is_there() -> bool:
    """Ray takes some seconds to notice that a node is gone; until then it counts, and may be given a trial."""
    import ray

    return bool(ray.cluster_resources().get("CPU", 0) == 2)


@contextmanager
def node_of_its_own(cluster: Any, within: Sequence[str] = (), *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node as a machine has one, with room for a trial, that is given a minute after SIGTERM."""
    import ray

    start = [*within, str(Path(sys.executable).parent / "ray"), "start", "--address", cluster.address, *arguments]
    node = subprocess.Popen(
        [*start, "--num-cpus", "2", "--block", "--disable-usage-stats"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "60"},
    )
    try:
        wait_until(lambda: ray.cluster_resources().get("CPU", 0) >= 4, "the node does not join")
        yield node
    finally:
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        wait_until(only_the_head_is_there, "the node does not leave")


@pytest.fixture
def spot_node(cluster: Any) -> Iterator[subprocess.Popen[bytes]]:
    with node_of_its_own(cluster) as node:
        yield node


def test_a_trial_whose_node_is_told_to_end_is_saved_and_moves(
    tmp_path: Path,
    begin: Begin,
    calm: list[Any],
    head_is_taken: Callable[[], None],
    spot_node: subprocess.Popen[bytes],
) -> None:
    """Nothing else makes a checkpoint here."""
    search = begin("--checkpoint-every", "1000")
    in_trial(1, search)
    head_is_taken()
    ranks = living_ranks()
    for rank in ranks:
        os.kill(rank["Pid"], signal.SIGSTOP)  # so that they cannot end before the news
    spot_node.terminate()
    wait_until(lambda: connect.draining() != set(), "the node is not about to go")
    for rank in ranks:
        os.kill(rank["Pid"], signal.SIGCONT)
    assert lost(search, 1).endswith(TOLD_TO_END)
    assert n_checkpoints(tmp_path) == 1
    assert_as_if_nothing_had_been(search, tmp_path, calm)
    assert spot_node.wait(60) is not None


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


class Wire:
    """A network of two addresses, one here and one in a namespace, that can be cut."""

    def __init__(self, name: str) -> None:
        self.namespace, self._end = name, f"{name}-h"
        self.address = "10.213.77.2"
        far = ("netns", "exec", name, "ip")
        for words in (
            ("netns", "add", name),
            ("link", "add", self._end, "type", "veth", "peer", "name", "far", "netns", name),
            ("addr", "add", "10.213.77.1/30", "dev", self._end),
            ("link", "set", self._end, "up"),
            (*far, "addr", "add", f"{self.address}/30", "dev", "far"),
            (*far, "link", "set", "far", "up"),
            (*far, "link", "set", "lo", "up"),
            (*far, "route", "add", "default", "via", "10.213.77.1"),
        ):
            done = ip(*words)
            if done.returncode:
                self.remove()
                pytest.skip(f"network namespaces are not allowed here: {done.stderr.strip()}")

    def cut(self) -> None:
        ip("link", "set", self._end, "down")

    def mend(self) -> None:
        ip("link", "set", self._end, "up")

    def remove(self) -> None:
        ip("link", "delete", self._end)
        ip("netns", "delete", self.namespace)


@pytest.fixture
def wire() -> Iterator[Wire]:
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("network namespaces need root and iproute2")
    made = Wire(f"st{os.getpid()}")
    yield made
    made.remove()


@pytest.mark.endurance
@pytest.mark.parametrize("cut_s", [3.0, 30.0])
def test_a_node_that_is_cut_off_for_a_while(
    tmp_path: Path, begin: Begin, cluster: Any, calm: list[Any], head_is_taken: Callable[[], None], wire: Wire, cut_s: float
) -> None:
    """Whether its trial goes on there or, given up too early, on the head, is Ray's to decide."""
    within = ["ip", "netns", "exec", wire.namespace]
    with node_of_its_own(cluster, within, "--node-ip-address", wire.address):
        search = begin()
        in_trial(1, search)
        head_is_taken()
        wire.cut()
        time.sleep(cut_s)
        wire.mend()
        assert_as_if_nothing_had_been(search, tmp_path, calm)
