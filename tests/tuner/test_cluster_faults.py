"""Processes and nodes of a cluster that die, hang or leave, one at a time: a search comes to the same as the undisturbed one.

A node that joins in the middle is in `test_resources.py`, a killed driver in `test_kills.py`, a killed rank in
`test_faults.py`.
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

from tests.support import raylets
from tests.support.searches import Search, finish, outcomes, processes_of, results_of, runs_of, wait_for, write_space
from tests.support.spaces import ONE_TRIAL, small

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]

N_TRIALS, N_EVALUATIONS = 2, 5
SPACE = small(
    {"optim.dropout": {"choice": [0.0, 0.1]}},
    {"pair_encoding": "cosine", "optim.lr": 1e-3, "budget.examples": 2400, "budget.evaluations": N_EVALUATIONS},
    trials=N_TRIALS,
    sampler="grid",
)
OBJECT_STORE = 80 * 2**20
"""Bytes: about the least that Ray accepts."""


def search_on(cluster: Any, folder: Path, backbone: Path, *arguments: str) -> Search:
    """A search of two trials of two ranks, one trial after the other, that saves each evaluation."""
    options = ["--workers-per-trial", "2", "--max-concurrent", "1", "--checkpoint-every", "0", *arguments]
    return Search(folder, backbone, "--address", cluster.address, *options, text=SPACE)


Begin = Callable[..., Search]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with room for one trial, to which each test adds the nodes it needs."""
    with raylets.cluster(num_cpus=2, object_store_memory=OBJECT_STORE) as started:
        yield started


@pytest.fixture(scope="module")
def calm(cluster: Any, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the undisturbed search comes to."""
    folder = tmp_path_factory.mktemp("calm")
    search = search_on(cluster, folder, tiny_backbone)
    assert search.end() == 0, search.err
    return outcomes(results_of(folder / "one"))


@pytest.fixture
def begin(cluster: Any, tmp_path: Path, tiny_backbone: Path) -> Iterator[Begin]:
    """Starts the test's search, with more options."""
    begun: list[Search] = []

    def begin(*arguments: str) -> Search:
        begun.append(search_on(cluster, tmp_path, tiny_backbone, *arguments))
        return begun[-1]

    yield begin
    for search in begun:
        search.process.kill()


@pytest.fixture
def head_is_taken(cluster: Any) -> Iterator[Callable[[], None]]:
    """Keeps trials off the head until it is called."""
    import ray

    held = ray.util.placement_group([{"CPU": 2}])
    assert held.wait(30)
    yield lambda: ray.util.remove_placement_group(held)
    ray.util.remove_placement_group(held)


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def actors() -> list[dict[str, Any]]:
    """All that the cluster ever had."""
    from ray._private import state

    return list(state.actors().values())


def living_ranks() -> list[dict[str, Any]]:
    return [actor for actor in actors() if actor["ActorClassName"] == "RankWorker" and actor["State"] == "ALIVE"]


def supervisor_of(rank: dict[str, Any]) -> int:
    """The process that started a rank."""
    (pid,) = {actor["Pid"] for actor in actors() if actor["Address"] == rank["OwnerAddress"]}
    return int(pid)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only what its parent has not yet heard of."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def in_the_second_trial(search: Search) -> None:
    """Wait until one trial is finished, and the other has its first evaluation."""
    search.wait_for('"event": "evaluated", "number": 1, ')


def evaluated(search: Search, number: int) -> list[int]:
    events = [json.loads(line) for line in list(search.out)]
    return [event["index"] for event in events if event["event"] == "evaluated" and event["number"] == number]


def assert_as_if_nothing_had_been(search: Search, folder: Path, calm: list[Any]) -> None:
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
    wait_until(lambda: processes_of(search.process.pid) == [], "the driver has left processes")
    wait_until(lambda: not any(is_running(actor["Pid"]) for actor in actors()), f"actors are left: {actors()}")
    placed = ray.util.placement_group_table
    wait_until(lambda: {group["state"] for group in placed().values()} <= {"REMOVED"}, f"groups are left: {placed()}")


def test_a_supervisor_that_is_killed(tmp_path: Path, begin: Begin, calm: list[Any]) -> None:
    search = begin()
    in_the_second_trial(search)
    ranks = living_ranks()
    os.kill(supervisor_of(ranks[0]), signal.SIGKILL)
    wait_until(lambda: not any(is_running(rank["Pid"]) for rank in ranks), "the ranks outlive their supervisor")
    assert_as_if_nothing_had_been(search, tmp_path, calm)
    assert any(line.startswith("trial 1 lost its processes and goes on") for line in search.err), search.err


def test_a_rank_that_hangs_in_a_collective(tmp_path: Path, begin: Begin, calm: list[Any]) -> None:
    search = begin("--collective-timeout", "15")
    in_the_second_trial(search)
    ranks = living_ranks()
    os.kill(ranks[0]["Pid"], signal.SIGSTOP)
    said = search.wait_for("trial 1 lost its processes")
    assert said.endswith(": a rank did not answer the others for 15 s (--collective-timeout)\n")
    wait_until(lambda: not any(is_running(rank["Pid"]) for rank in ranks), "the gang still lives")
    assert_as_if_nothing_had_been(search, tmp_path, calm)


@pytest.mark.parametrize("n_nodes", [2, 3])
def test_a_raylet_that_is_killed(
    tmp_path: Path, begin: Begin, cluster: Any, calm: list[Any], head_is_taken: Callable[[], None], n_nodes: int
) -> None:
    """The trial is on the second node or, spread, on the second and the third, and moves to the head."""
    others = [cluster.add_node(num_cpus=4 - n_nodes) for _ in range(n_nodes - 1)]
    where = ["--placement", "spread"] if n_nodes == 3 else []
    search = begin(*where, "--storage-path", str(tmp_path / "shared"))
    in_the_second_trial(search)
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


@pytest.mark.parametrize("told", ["node", "rank"])
def test_a_trial_whose_node_or_rank_is_told_to_end_is_saved_and_moves(
    tmp_path: Path,
    begin: Begin,
    calm: list[Any],
    head_is_taken: Callable[[], None],
    spot_node: subprocess.Popen[bytes],
    told: str,
) -> None:
    """Nothing else makes a checkpoint here."""
    search = begin("--checkpoint-every", "1000")
    in_the_second_trial(search)
    head_is_taken()
    os.kill(spot_node.pid if told == "node" else living_ranks()[0]["Pid"], signal.SIGTERM)
    said = search.wait_for("trial 1 lost its processes")
    assert said.endswith(": a node it runs on is about to go, or one of its processes was told to\n")
    assert len(list((tmp_path / "one" / "checkpoints").iterdir())) == 1
    assert_as_if_nothing_had_been(search, tmp_path, calm)
    if told == "node":
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


def test_a_node_that_is_cut_off_for_half_a_minute(
    tmp_path: Path, begin: Begin, cluster: Any, calm: list[Any], head_is_taken: Callable[[], None], wire: Wire
) -> None:
    """Whether its trial goes on there or, given up too early, on the head, is Ray's to decide."""
    within = ["ip", "netns", "exec", wire.namespace]
    with node_of_its_own(cluster, within, "--node-ip-address", wire.address):
        search = begin()
        in_the_second_trial(search)
        head_is_taken()
        wire.cut()
        time.sleep(30)
        wire.mend()
        assert_as_if_nothing_had_been(search, tmp_path, calm)


def test_an_object_store_that_others_have_filled(tmp_path: Path, begin: Begin, calm: list[Any]) -> None:
    """They hold more in use than fits, so that there is no room left for the data, and nothing can be spilled to make some."""
    import numpy as np
    import ray

    n_bytes = 2**20
    held = []
    for _ in range(OBJECT_STORE // n_bytes + 4):
        reference = ray.put(np.zeros(n_bytes, np.uint8))
        held.append((reference, ray.get(reference)))  # in use from now on
    search = begin()
    assert_as_if_nothing_had_been(search, tmp_path, calm)
    assert sum(values.nbytes for _, values in held) > OBJECT_STORE


def under_timeout(*arguments: str) -> subprocess.Popen[str]:
    """A search as `timeout` runs it, which passes SIGTERM on to the search, and then to its whole process group."""
    assert shutil.which("timeout"), "coreutils has it"
    return subprocess.Popen(
        [
            "timeout",
            "3600",
            sys.executable,
            "-m",
            "tuner.search",
            "--no-preflight",
            "--no-register",
            "--no-dashboard",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("event", ["evaluated", "finalist_evaluated"])
def test_a_driver_that_is_told_to_end_with_its_process_group(tmp_path: Path, tiny_backbone: Path, event: str) -> None:
    """As after Ctrl-C: what runs is saved, MLflow's runs have ended, and the search can be gone on with."""
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    where = ["--runs-dir", str(tmp_path), "--finalists", "1", "--seeds", "1", "--max-concurrent", "1"]
    process = under_timeout("--space", str(space), "--name", "told", "--checkpoint-every", "1000", "--json", *where)
    wait_for(process, f'"event": "{event}"')
    process.send_signal(signal.SIGTERM)
    _, err = finish(process)
    assert process.returncode == 130, err
    found = results_of(tmp_path / "told")
    assert (found["finished"], found["consistency"]) == (None, [])
    runs, _ = runs_of(found)
    assert "RUNNING" not in {run.info.status for run in runs}
    folder = tmp_path / "told" / ("confirmation" if event.startswith("finalist") else ".") / "checkpoints"
    assert len(list(folder.iterdir())) == 1
    again = under_timeout("--resume", "told", "--runs-dir", str(tmp_path))
    _, err = finish(again)
    assert again.returncode == 0, err
    (trial,) = results_of(tmp_path / "told")["trials"]
    assert (trial["state"], len(trial["evaluations"])) == ("COMPLETE", N_EVALUATIONS)
    runs, _ = runs_of(found)
    assert {run.info.status for run in runs} == {"FINISHED"}
