"""Checks with real ranks: an all-reduce over those that a gang can have, and SMART on the backbone.

A check that hangs is abandoned and its processes are killed.
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
from cluster.shape import SPREAD, GangShape
from tuner.commands.doctor.finding import Finding, failed, passed, skipped
from tuner.execution.gang import reason_of
from tuner.execution.rank import RankWorker, process_environment

if TYPE_CHECKING:
    from model.config import TrialConfig

START_S = 120.0
"""Time for processes to start and import: file systems of clusters are slow."""
REDUCE_S = 90.0
SMART_S = 300.0


class DoctorRank(RankWorker):
    """A trial's rank with the doctor's checks."""

    def ready(self) -> None:
        """Return once the process runs."""

    def all_reduce(self) -> str:
        """Sum over the gang that `meet` has formed. Returns the backend."""
        from model.engine.deepspeed import all_reduce

        return all_reduce(self._place())

    def smart(self, config: TrialConfig) -> dict[str, str | None]:
        """SMART's reference tests on the configuration's backbone."""
        from model.training.smart_reference import check

        return check(config, self._place().device)


@dataclass(frozen=True)
class RankGroup:
    """Ranks that one gang could have."""

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


def rank_groups(nodes: Sequence[Node], shape: GangShape) -> list[RankGroup | Finding]:
    """The groups to check: two or more ranks within each node, and all pairs of nodes if gangs may span nodes.

    A node without a possible group yields a SKIP.
    """
    within = [_within(node, shape) for node in nodes]
    able = [node for node in nodes if shape.placement == SPREAD and _is_used(node, shape)]
    return [*within, *(RankGroup(pair, _gpus_per_rank(shape)) for pair in combinations(able, 2))]


def _is_used(node: Node, shape: GangShape) -> bool:
    """Whether ranks of a trial may run on the node: a whole gang fits, or one rank of a gang that may span nodes."""
    return shape.has_room_on(node) if shape.placement == SPREAD else shape.slots_of([node]) > 0


def _gpus_per_rank(shape: GangShape) -> float:
    """At least one whole GPU, because NCCL does not let two ranks share one; 0 on CPUs."""
    return max(1.0, shape.gpus_per_worker) if shape.gpus_per_worker else 0.0


def _within(node: Node, shape: GangShape) -> RankGroup | Finding:
    if not shape.slots_of([node]):
        return skipped("all-reduce", f"a gang of {shape.describe()} does not fit this node", node.address)
    n_ranks, n_gpus = max(2, shape.n_workers), _gpus_per_rank(shape)
    if node.gpus < n_ranks * n_gpus:
        return skipped("all-reduce", "a trial has one rank, and two would need a second GPU", node.address)
    return RankGroup((node,) * n_ranks, n_gpus)


def start(nodes: Sequence[Node], n_gpus: float, rank_class: type[DoctorRank] = DoctorRank) -> list[Any]:
    """Start one actor for each rank, pinned to its node."""
    environment = process_environment(1, n_gpus)
    return [start_actor(rank_class, node, n_gpus, environment, rank, len(nodes), 1) for rank, node in enumerate(nodes)]


def start_actor(class_: type, node: Node, n_gpus: float, environment: dict[str, str], *arguments: object) -> Any:
    """Start an actor on a node. It reserves no cores, so that a busy cluster can be checked."""
    place = NodeAffinitySchedulingStrategy(node.identifier, soft=False)
    options = {"num_cpus": 0, "num_gpus": n_gpus, "scheduling_strategy": place, "runtime_env": {"env_vars": environment}}
    return ray.remote(class_).options(**options).remote(*arguments)


def check_all_reduce(
    group: RankGroup, *, rank_class: type[DoctorRank] = DoctorRank, start_s: float = START_S, reduce_s: float = REDUCE_S
) -> Finding:
    """An all-reduce over a group's ranks. One that hangs fails after `reduce_s`, and its processes are killed."""
    actors, has_started = start(group.nodes, group.n_gpus, rank_class), False
    ranks = f"{len(actors)} ranks, {group.backend}"
    advice = "check whether a firewall, NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME separates ranks; NCCL_DEBUG=INFO logs details"
    try:
        wait([actor.ready.remote() for actor in actors], start_s)
        has_started = True
        (address,) = wait([actors[0].rendezvous.remote()], reduce_s)
        wait([actor.meet.remote(address) for actor in actors], reduce_s)
        (backend, *_) = wait([actor.all_reduce.remote() for actor in actors], reduce_s)
        return passed("all-reduce", f"{len(actors)} ranks, {backend}", group.where)
    except TimeoutError:
        if not has_started:
            return _not_started("all-reduce", group.where, group.n_gpus, start_s)
        return failed("all-reduce", f"{ranks}: no answer within {reduce_s:g} s", advice, group.where)
    except Exception as error:
        if not has_started:
            return failed("all-reduce", f"its ranks cannot start: {reason(error)}", node=group.where)
        return failed("all-reduce", f"{ranks}: {reason(error)}", advice, group.where)
    finally:
        kill(actors)


def check_smart(
    node: Node, shape: GangShape, config: TrialConfig, *, start_s: float = START_S, smart_s: float = SMART_S
) -> list[Finding]:
    """The backbone loads on a node, and SMART's reference tests pass on it there."""
    if not _is_used(node, shape):
        misfit = f"a gang of {shape.describe()} does not fit this node"
        return [skipped(check, misfit, node.address) for check in ("backbone", "smart")]
    actors, has_started = start([node], shape.gpus_per_worker), False
    try:
        wait([actors[0].ready.remote()], start_s)
        has_started = True
        (facts,) = wait([actors[0].smart.remote(config)], smart_s)
    except TimeoutError:
        problem = f"{config.backbone} was not loaded and tested within {smart_s:g} s"
        finding = failed("backbone", problem, node=node.address)
        if not has_started:
            finding = _not_started("backbone", node.address, shape.gpus_per_worker, start_s)
    except Exception as error:
        finding = failed("backbone", reason(error), node=node.address)
    else:
        return [passed("backbone", f"{config.backbone} loads", node.address), *_smart_findings(facts, config, node)]
    finally:
        kill(actors)
    return [finding, skipped("smart", "the backbone was not loaded", node.address)]


def _smart_findings(facts: dict[str, str | None], config: TrialConfig, node: Node) -> list[Finding]:
    advice = "SMART does not work as specified on this backbone; use another, or smart.enabled: false"
    failures = [failed("smart", f"{name}: {problem}", advice, node.address) for name, problem in facts.items() if problem]
    kind = f"{config.pair_encoding}, {config.engine.precision}"
    summary = f"{len(facts)} reference tests hold on {', '.join(config.mixture)} ({kind})"
    return failures or [passed("smart", summary, node.address)]


def _not_started(check: str, where: str, n_gpus: float, start_s: float) -> Finding:
    if n_gpus:
        return skipped(check, f"its GPUs were not free within {start_s:g} s", where)
    return failed(check, f"no process started within {start_s:g} s", "check the node's load and Ray's logs there", where)


def wait(calls: list[Any], seconds: float) -> list[Any]:
    """The calls' results, or the first error as soon as it occurs. Raises TimeoutError after `seconds`."""
    pending, end_s = list(calls), time.monotonic() + seconds
    while pending:
        done, pending = ray.wait(pending, num_returns=1, timeout=max(end_s - time.monotonic(), 0.0))
        if not done:
            raise TimeoutError
        ray.get(done)
    return [ray.get(call) for call in calls]


def reason(error: Exception) -> str:
    """The error of a remote call in one line."""
    return reason_of(getattr(error, "cause", None) or error)


def kill(actors: list[Any]) -> None:
    """Kill the actors' processes at once."""
    for actor in actors:
        ray.kill(actor)
