"""Trials on clusters that are shared, grow and shrink: real Ray with several nodes, whose sizes are made up."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import connect
from cluster.shape import GangShape
from tests.support import raylets
from tests.support.searches import Search, results_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]


LONG = ("--trials", "3", "--set", "budget.examples=9600")
"""Trials that still run when the processes of a node that joins are there."""
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


def test_as_many_trials_fit_as_ray_places() -> None:
    """Of one placement group more than our slots, Ray places all but one."""
    import ray

    with raylets.cluster(num_cpus=11, num_gpus=1) as cluster:
        cluster.add_node(num_cpus=5, num_gpus=2)
        cluster.wait_for_nodes()
        for shape in SHAPES:
            slots = shape.slots_of(connect.nodes())
            assert slots > 0
            bundles = [bundle for bundle in shape.bundles() if bundle]
            groups = [ray.util.placement_group(bundles, strategy=shape.strategy) for _ in range(slots + 1)]
            _, unplaced = ray.wait([group.ready() for group in groups], num_returns=slots + 1, timeout=2.0)
            assert len(unplaced) == 1, shape
            assert not connect.is_placed()
            for group in groups:
                ray.util.remove_placement_group(group)
            deadline = time.monotonic() + 10
            while any(node.free_cpus < node.cpus or node.free_gpus < node.gpus for node in connect.nodes()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert connect.is_placed()


def double(x: int) -> int:
    return 2 * x


def test_a_node_that_has_left_gives_no_answer() -> None:
    """Ray lists it as alive for some seconds."""
    with raylets.cluster(num_cpus=1):
        (here,) = connect.nodes()
        gone = replace(here, identifier="a" * len(here.identifier), address="192.0.2.99")
        assert connect.ask_each([gone, here], double, 21, timeout_s=60) == {here.address: 42}


def test_a_search_waits_for_other_jobs_and_takes_what_joins(tmp_path: Path, tiny_backbone: Path) -> None:
    """Another job holds most of the only GPU; when it is gone a trial starts, and when a node joins, another does."""
    import ray

    with raylets.cluster(num_cpus=1, num_gpus=1) as cluster:
        held = ray.util.placement_group([{"GPU": 0.8}])
        assert held.wait(10)
        search = Search(tmp_path, tiny_backbone, "--address", cluster.address, "--gpus-per-worker", "0.25", *LONG)
        said = search.wait_for("trial 0 waits")
        assert "a trial asks for 1 × (1 CPU, 0.25 GPU) on one node; free now: " in said
        assert " 1 of 1 CPU and 0.2 of 1 GPU; others hold 0.8 GPU: the process " in said
        ray.util.remove_placement_group(held)
        search.wait_for("trial 0 has started")
        assert search.most_at_once() <= 1
        cluster.add_node(num_cpus=1, num_gpus=1)
        assert search.end() == 0, search.err
    assert search.most_at_once() == 2
    assert [trial["state"] for trial in results_of(tmp_path / "one")["trials"]] == ["COMPLETE"] * 3
    assert sum(" waits" in line for line in search.err) == 1, search.err


def test_a_search_whose_nodes_are_gone_says_so_and_goes_on_with_new_ones(tmp_path: Path, tiny_backbone: Path) -> None:
    with raylets.cluster(num_cpus=0) as cluster:
        only = cluster.add_node(num_cpus=1)
        search = Search(tmp_path, tiny_backbone, "--address", cluster.address, "--trials", "2", "--checkpoint-every", "0")
        search.wait_for('"evaluated"')
        cluster.remove_node(only)
        said = search.wait_for(" waits: a trial asks for 1 × (1 CPU) on one node, and what is left of the cluster")
        assert "can never give it: " in said and " has 0 CPU and 0 GPU" in said
        cluster.add_node(num_cpus=1)
        assert search.end() == 0, search.err
    assert any(" has started" in line or "goes on" in line for line in search.err), search.err
    found: dict[str, Any] = results_of(tmp_path / "one")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"] * 2
    assert found["consistency"] == []


def test_what_can_never_fit_is_refused_with_what_there_is(tmp_path: Path, tiny_backbone: Path) -> None:
    with raylets.cluster(num_cpus=1) as cluster:
        search = Search(tmp_path, tiny_backbone, "--address", cluster.address, "--workers-per-trial", "2")
        assert search.end() == 2
    (said,) = search.err
    assert "a trial asks for 2 × (1 CPU) on one node, which the cluster can never give: " in said
    assert "has 1 CPU and 0 GPU; lower --workers-per-trial" in said
    assert not (tmp_path / "one").exists()
