"""Trials on clusters that are shared, grow and shrink: real Ray with several nodes, whose sizes are made up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import connect
from cluster.shape import GangShape
from tests.support import raylets
from tests.support.searches import Search, SearchHere, lend_tokens, processes_of, results_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]


SHAPES = [
    GangShape(1, 1, 0.25),
    GangShape(1, 1, 0.1),
    GangShape(1, 1, 0.4),
    GangShape(1, 2, 0.0),
    GangShape(2, 1, 1.0),
    GangShape(2, 1, 1.0, placement="spread"),
    GangShape(3, 1, 0.0),
    GangShape(3, 2, 0.0, placement="spread"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that gives no trial room, to which each test adds the nodes it needs."""
    with raylets.cluster(num_cpus=0) as started:
        yield started


@contextmanager
def nodes(cluster: Any, *sizes: tuple[int, int]) -> Iterator[list[Any]]:
    """Nodes of so many CPUs and GPUs each; what is added to the list leaves with them."""
    added = [cluster.add_node(num_cpus=cpus, num_gpus=gpus) for cpus, gpus in sizes]
    try:
        yield added
    finally:
        for node in added:
            cluster.remove_node(node)
        wait_until(lambda: sum(node.cpus for node in connect.nodes()) == 0, "the nodes do not leave")


def test_as_many_trials_fit_as_ray_places(cluster: Any) -> None:
    """Of one placement group more than our slots, Ray places all but one."""
    import ray

    with nodes(cluster, (11, 1), (5, 2)):
        for shape in SHAPES:
            slots = shape.slots_of(connect.nodes())
            assert slots > 0
            bundles = [bundle for bundle in shape.bundles() if bundle]
            groups = [ray.util.placement_group(bundles, strategy=shape.strategy) for _ in range(slots + 1)]
            calls = [group.ready() for group in groups]
            ray.wait(calls, num_returns=slots, timeout=30.0)
            _, unplaced = ray.wait(calls, num_returns=slots + 1, timeout=0.5)
            assert len(unplaced) == 1, shape
            assert not connect.is_placed()
            for group in groups:
                ray.util.remove_placement_group(group)
            wait_until(are_free, "the groups are not given back")
        assert connect.is_placed()


def are_free() -> bool:
    return all((node.free_cpus, node.free_gpus) == (node.cpus, node.gpus) for node in connect.nodes())


def double(x: int) -> int:
    return 2 * x


def test_a_node_that_has_left_gives_no_answer(cluster: Any) -> None:
    """Ray lists it as alive for some seconds."""
    here, *_ = connect.nodes()
    gone = replace(here, identifier="a" * len(here.identifier), address="192.0.2.99")
    assert connect.ask_each([gone, here], double, 21, timeout_s=60) == {here.address: 42}


def test_what_can_never_fit_is_refused_with_what_there_is(cluster: Any, tmp_path: Path, tiny_backbone: Path) -> None:
    with nodes(cluster, (1, 0)):
        search = SearchHere(tmp_path, tiny_backbone, "--workers-per-trial", "2")
        assert search.end() == 2
    (said,) = search.err
    assert "a trial needs 2 × (1 CPU) on one node, but the cluster is too small: " in said
    assert " has 1 CPU and 0 GPU" in said and "lower --workers-per-trial" in said
    assert not (tmp_path / "one").exists()


@pytest.mark.endurance
def test_a_search_waits_for_other_jobs_and_takes_what_joins(cluster: Any, tmp_path: Path, tiny_backbone: Path) -> None:
    """Another job holds most of the only GPU; when it is gone a trial starts, and when a node joins, another does."""
    import ray

    with nodes(cluster, (1, 1)) as there:
        held = ray.util.placement_group([{"GPU": 0.8}])
        assert held.wait(10)
        lend_tokens(tmp_path)
        search = Search(tmp_path, tiny_backbone, "--address", cluster.address, "--gpus-per-worker", "0.25", "--trials", "2")
        said = search.wait_for("trial 0 waits")
        assert "a trial needs 1 × (1 CPU, 0.25 GPU) on one node; free now: " in said
        assert " 1 of 1 CPU and 0.2 of 1 GPU; other programs use 0.8 GPU: the process " in said
        ray.util.remove_placement_group(held)
        search.wait_for("trial 0 has started")
        search.wait_for('"trial_started"')
        wait_until(lambda: len(raylets.living_ranks()) == 1, "there is no rank")
        (first,) = raylets.living_ranks()
        os.kill(first["Pid"], signal.SIGSTOP)  # so that it cannot end before the next trial starts
        assert search.most_at_once() <= 1
        there.append(cluster.add_node(num_cpus=1, num_gpus=1))
        search.wait_for('"event": "trial_started", "number": 1')
        os.kill(first["Pid"], signal.SIGCONT)
        assert search.end() == 0, search.err
    assert search.most_at_once() == 2
    assert [trial["state"] for trial in results_of(tmp_path / "one")["trials"]] == ["COMPLETE"] * 2
    assert sum(" waits" in line for line in search.err) == 1, search.err
    wait_until(lambda: processes_of(search.process.pid) == [], "the search has left processes")


@pytest.mark.endurance
def test_a_search_whose_nodes_are_gone_says_so_and_goes_on_with_new_ones(
    cluster: Any, tmp_path: Path, tiny_backbone: Path
) -> None:
    with nodes(cluster, (1, 0)) as there:
        search = SearchHere(tmp_path, tiny_backbone, "--trials", "1", "--checkpoint-every", "0")
        search.wait_for('"evaluated"')
        cluster.remove_node(there.pop())
        said = search.wait_for(" waits: a trial needs 1 × (1 CPU) on one node, but the cluster is too small now")
        assert "the cluster is too small now (" in said and " has 0 CPU and 0 GPU" in said
        there.append(cluster.add_node(num_cpus=1))
        assert search.end() == 0, search.err
    assert any(" has started" in line or "continues" in line for line in search.err), search.err
    found = results_of(tmp_path / "one")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"]
    assert found["consistency"] == []
