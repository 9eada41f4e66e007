"""What is said of trials that wait for the cluster: exact sentences, each once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cluster import connect
from cluster.node import Node
from cluster.shape import GangShape
from tuner.execution import nodes
from tuner.execution.nodes import LOOK_S, PATIENCE_S, Waiting


@dataclass
class Fake:
    """A cluster and a clock."""

    there: list[Node] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    placed: bool = False
    now: float = 100.0
    said: list[str] = field(default_factory=list)

    def nodes(self) -> list[Node]:
        return self.there

    def other_drivers(self) -> list[str]:
        return self.others

    def is_placed(self) -> bool:
        return self.placed

    def waiting(self, shape: GangShape) -> Waiting:
        return Waiting(shape, lambda: self.now)

    def later(self, waiting: Waiting, pending: list[int], running: list[int], seconds: float = PATIENCE_S) -> list[str]:
        """What a look that much later says."""
        self.said.clear()
        self.now += seconds
        assert waiting.is_due()
        waiting.look(pending, running)
        return list(self.said)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Stands in for the connected Ray, and collects what is said."""
    fake = Fake()
    for name in ("nodes", "other_drivers", "is_placed"):
        monkeypatch.setattr(connect, name, getattr(fake, name))
    monkeypatch.setattr(nodes, "write_stderr", fake.said.append)
    return fake


TWO = GangShape(n_workers=2, cpus_per_worker=1)


def node(address: str, cpus: float, free: float, gpus: float = 0.0, free_gpus: float = 0.0) -> Node:
    return Node(address, address, cpus, gpus, free, free_gpus)


def test_who_waits_for_what_is_said_once_and_when_it_is_over(cluster: Fake) -> None:
    cluster.there = [node("10.0.0.1", 4, 1)]
    cluster.others = ["the process 7 on 10.0.0.2"]
    waiting = cluster.waiting(TWO)
    assert cluster.later(waiting, [3], [2]) == []
    assert cluster.later(waiting, [3], [2]) == [
        "trial 3 waits: a trial needs 2 × (1 CPU) on one node; free now: 10.0.0.1 has 1 of 4 CPU and 0 of 0 GPU; "
        "other programs use 1 CPU: the process 7 on 10.0.0.2"
    ]
    assert cluster.later(waiting, [3], [2]) == []
    assert cluster.later(waiting, [], [2, 3]) == ["trial 3 has started"]
    assert cluster.later(waiting, [], [2, 3]) == []


def test_one_that_has_its_place_and_sets_up_does_not_wait(cluster: Fake) -> None:
    cluster.there = [node("10.0.0.1", 4, 0)]
    cluster.placed = True
    waiting = cluster.waiting(TWO)
    cluster.later(waiting, [3], [])
    assert cluster.later(waiting, [3], []) == []


def test_a_short_wait_is_not_mentioned(cluster: Fake) -> None:
    cluster.there = [node("10.0.0.1", 4, 0)]
    waiting = cluster.waiting(TWO)
    assert not waiting.look([3], [])
    assert not waiting.is_due()
    assert cluster.later(waiting, [3], [], LOOK_S) == []
    assert cluster.later(waiting, [4], [3]) == [], "each has its own time"


def test_lost_nodes_are_waited_for_aloud(cluster: Fake) -> None:
    cluster.there = [node("10.0.0.1", 1, 1)]
    waiting = cluster.waiting(TWO)
    cluster.later(waiting, [], [])
    assert cluster.later(waiting, [], []) == [
        "the search waits: a trial needs 2 × (1 CPU) on one node, but the cluster is too small now "
        "(10.0.0.1 has 1 CPU and 0 GPU); add nodes"
    ]
    cluster.there.append(node("10.0.0.9", 2, 2))
    assert cluster.later(waiting, [], []) == ["the search continues: the cluster has room for a trial again"]


def test_a_trial_of_lost_nodes_and_one_that_was_ended_meanwhile(cluster: Fake) -> None:
    waiting = cluster.waiting(TWO)
    cluster.later(waiting, [5], [])
    (said,) = cluster.later(waiting, [5], [])
    assert said.startswith("trial 5 waits: ") and "too small now (no node);" in said
    cluster.there.append(node("10.0.0.9", 2, 2))
    assert cluster.later(waiting, [], []) == []


@pytest.mark.parametrize(
    ("shape", "sizes", "slots"),
    [
        (GangShape(1, 1), [(2.0, 0.0), (1.0, 0.0)], 3),
        (GangShape(2, 1), [(3.0, 0.0), (1.0, 0.0)], 1),
        (GangShape(2, 1, placement="spread"), [(3.0, 0.0), (1.0, 0.0)], 2),
        (GangShape(1, 1, 0.25), [(8.0, 1.0)], 4),
        (GangShape(1, 1, 0.25), [(3.0, 1.0)], 3),
        (GangShape(1, 1, 0.1), [(99.0, 1.0)], 10),
        (GangShape(1, 1, 0.4), [(99.0, 2.0)], 4),
        (GangShape(1, 1, 0.4), [(99.0, 1.5)], 3),
        (GangShape(1, 1, 0.4), [(99.0, 0.3)], 0),
        (GangShape(1, 1, 0.3333), [(99.0, 1.0)], 3),
        (GangShape(2, 4, 1.0), [(64.0, 8.0), (64.0, 1.0)], 4),
        (GangShape(2, 4, 1.0, placement="spread"), [(64.0, 1.0), (64.0, 1.0)], 1),
        (GangShape(1, 4, 2.0), [(64.0, 3.0), (3.0, 8.0)], 1),
    ],
)
def test_slots(shape: GangShape, sizes: list[tuple[float, float]], slots: int) -> None:
    """Counted by hand; a rank's share of a GPU is of one GPU, and a packed trial lies on one node."""
    assert shape.slots(sizes) == slots
