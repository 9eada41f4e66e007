"""Ranks that meet and compute for the doctor: an all-reduce over those that a gang can join, and SMART on the backbone.

Whatever hangs is given up and its processes are killed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.node import Node
from cluster.shape import GangShape
from tuner.commands.doctor.finding import Finding, failed, passed, skipped
from tuner.execution.gang import reason_of
from tuner.execution.rank import RankWorker, process_environment

if TYPE_CHECKING:
    from model.config import TrialConfig
    from model.training.smart_reference import Fact

START_S = 120.0
"""How long processes may take to start and import: file systems of clusters are slow."""
REDUCE_S = 90.0
SMART_S = 300.0


class DoctorRank(RankWorker):
    """A rank as trials have it, that answers the doctor."""

    def ready(self) -> None:
        """Answers once the process runs."""

    def all_reduce(self) -> str:
        """Sum over the gang that `meet` made. Returns the backend."""
        from model.engine.collective import all_reduce

        return all_reduce(self._place())

    def smart(self, config: TrialConfig) -> list[Fact]:
        """SMART's reference tests on the configuration's backbone."""
        from model.training.smart_reference import check

        return check(config, self._place().device)


@dataclass(frozen=True)
class Meeting:
    """Ranks that a gang could have together."""

    nodes: tuple[Node, ...]
    """The node of each rank."""
    n_gpus: float = 0.0
    """GPUs of each rank."""

    @property
    def where(self) -> str:
        return " and ".join(dict.fromkeys(node.address for node in self.nodes))

    @property
    def backend(self) -> str:
        return "NCCL" if self.n_gpus else "gloo"


def meetings(nodes: Sequence[Node], shape: GangShape, *, spans_nodes: bool = False) -> list[Meeting | Finding]:
    """The ranks to try: two or more within each node, since a gang is packed on one; and each pair of nodes if it may span.

    A node on which there is nothing to try gives the finding that says so.
    """
    within = [_within(node, shape) for node in nodes]
    able = [meeting.nodes[0] for meeting in within if isinstance(meeting, Meeting)]
    n_gpus = max(1.0, shape.gpus_per_worker) if shape.gpus_per_worker else 0.0
    between = [Meeting(pair, n_gpus) for pair in combinations(able, 2)] if spans_nodes else []
    return [*within, *between]


def _within(node: Node, shape: GangShape) -> Meeting | Finding:
    if not shape.slots_of([node]):
        return skipped("all-reduce", f"a gang of {shape.describe()} does not fit this node", node.address)
    n_ranks = max(2, shape.n_workers)
    if not shape.gpus_per_worker:
        return Meeting((node,) * n_ranks)
    n_gpus = max(1.0, shape.gpus_per_worker)  # NCCL does not let two ranks share one
    if node.gpus < n_ranks * n_gpus:
        return skipped("all-reduce", "a trial has one rank, and two would need a second GPU", node.address)
    return Meeting((node,) * n_ranks, n_gpus)


def start(nodes: Sequence[Node], n_gpus: float, rank_class: type[DoctorRank] = DoctorRank) -> list[Any]:
    """One actor for each rank, pinned to its node. They take no cores, so that a busy cluster can be checked."""
    return [
        ray.remote(rank_class)
        .options(
            num_cpus=0,
            num_gpus=n_gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.identifier, soft=False),
            runtime_env={"env_vars": process_environment(1, n_gpus)},
        )
        .remote(rank, len(nodes), 1)
        for rank, node in enumerate(nodes)
    ]


def reduce(
    meeting: Meeting, *, rank_class: type[DoctorRank] = DoctorRank, start_s: float = START_S, reduce_s: float = REDUCE_S
) -> Finding:
    """An all-reduce over a meeting's ranks. One that hangs fails after `reduce_s`, and its processes are gone."""
    actors = start(meeting.nodes, meeting.n_gpus, rank_class)
    told = f"{len(actors)} ranks, {meeting.backend}"
    mend = "see whether a firewall or NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME keeps ranks apart; NCCL_DEBUG=INFO tells more"
    try:
        wait([actor.ready.remote() for actor in actors], start_s)
    except TimeoutError:
        return _not_started("all-reduce", meeting.where, meeting.n_gpus, start_s, actors)
    except Exception as error:
        kill(actors)
        return failed("all-reduce", f"its ranks cannot start: {reason(error)}", node=meeting.where)
    try:
        (address,) = wait([actors[0].rendezvous.remote()], reduce_s)
        wait([actor.meet.remote(address) for actor in actors], reduce_s)
        (backend, *_) = wait([actor.all_reduce.remote() for actor in actors], reduce_s)
        return passed("all-reduce", f"{len(actors)} ranks, {backend}", meeting.where)
    except TimeoutError:
        return failed("all-reduce", f"{told}: no answer within {reduce_s:g} s", mend, meeting.where)
    except Exception as error:
        return failed("all-reduce", f"{told}: {reason(error)}", mend, meeting.where)
    finally:
        kill(actors)


def smart(
    node: Node, shape: GangShape, config: TrialConfig, *, start_s: float = START_S, smart_s: float = SMART_S
) -> list[Finding]:
    """Whether the backbone loads on a node, and SMART's reference tests pass on it there."""
    if not shape.slots_of([node]):
        why = f"a gang of {shape.describe()} does not fit this node"
        return [skipped("backbone", why, node.address), skipped("smart", why, node.address)]
    actors = start([node], shape.gpus_per_worker)
    try:
        wait([actors[0].ready.remote()], start_s)
    except TimeoutError:
        finding = _not_started("backbone", node.address, shape.gpus_per_worker, start_s, actors)
        return [finding, skipped("smart", "the backbone was not loaded", node.address)]
    except Exception as error:
        kill(actors)
        return _not_loaded(reason(error), node)
    try:
        (facts,) = wait([actors[0].smart.remote(config)], smart_s)
    except TimeoutError:
        return _not_loaded(f"{config.backbone} was not loaded and tried within {smart_s:g} s", node)
    except Exception as error:
        return _not_loaded(reason(error), node)
    finally:
        kill(actors)
    return [passed("backbone", f"{config.backbone} loads", node.address), *_facts(facts, config, node)]


def _facts(facts: list[Fact], config: TrialConfig, node: Node) -> list[Finding]:
    mend = "SMART would not do on this backbone what it says; use another, or smart.enabled: false"
    wrong = [failed("smart", f"{fact.name}: {fact.problem}", mend, node.address) for fact in facts if fact.problem]
    kind = f"{config.pair_encoding}, {config.engine.precision}"
    held = f"{len(facts)} reference tests hold on {', '.join(config.mixture)} ({kind})"
    return wrong or [passed("smart", held, node.address)]


def _not_loaded(why: str, node: Node) -> list[Finding]:
    return [failed("backbone", why, node=node.address), skipped("smart", "the backbone was not loaded", node.address)]


def _not_started(check: str, where: str, n_gpus: float, start_s: float, actors: list[Any]) -> Finding:
    kill(actors)
    if n_gpus:
        return skipped(check, f"its GPUs were not free within {start_s:g} s", where)
    return failed(check, f"no process came up within {start_s:g} s", "see the node's load and Ray's logs there", where)


def wait(calls: list[Any], seconds: float) -> list[Any]:
    """The calls' results, or the first error as soon as it comes. Raises TimeoutError when some are late."""
    pending, end = list(calls), time.monotonic() + seconds
    while pending:
        done, pending = ray.wait(pending, num_returns=1, timeout=max(end - time.monotonic(), 0.0))
        if not done:
            raise TimeoutError
        ray.get(done)
    return [ray.get(call) for call in calls]


def reason(error: Exception) -> str:
    """An error of a remote call in one line."""
    return reason_of(getattr(error, "cause", None) or error)


def kill(actors: list[Any]) -> None:
    """End the actors' processes at once, whatever they wait for."""
    for actor in actors:
        ray.kill(actor)
