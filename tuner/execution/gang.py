"""A gang: the ranks of one trial, one actor each, inside the trial's placement group."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster import connect
from cluster.shape import PACK, GangShape
from model.config import ConfigError
from model.engine.collective import CollectiveError, describe_error, is_broken_collective
from model.engine.config import TIMEOUT_S
from model.engine.out_of_memory import OutOfMemory
from model.training.evaluation import Evaluation, Failure
from tuner.artifacts.folder import StoredFolder, named
from tuner.artifacts.retry import full_disk
from tuner.artifacts.store import Store
from tuner.execution.rank import RankWorker, forked_environment, process_environment

if TYPE_CHECKING:
    from model.training.rehearsal import Rehearsal  # it imports torch, which neither a driver nor a supervisor needs

DEATH_S = 5.0
"""How long a rank's error may have come before the news that a peer's process died, which caused it."""


class RankError(Exception):
    """A rank's code raised: trying again would raise again. Holds one line for the record."""


class RankOutOfMemoryError(RankError):
    """A rank had no memory for its share of an update: a smaller share may fit."""


class LeavingError(RayActorError):  # type: ignore[misc]
    """A node is about to go. Tune does not count preemptions as failures."""

    def __init__(self, said: str) -> None:
        super().__init__(error_msg=said, preempted=True)


class Gang:
    """Starts the ranks in the current placement group and speaks to all of them at once.

    A peer that dies can leave the others waiting in a collective for ever, so the first failure kills them all; the next
    `begin` starts afresh. A process that died raises Ray's error, and ranks that waited for another in vain, for at most
    `collective_timeout_s`, raise `CollectiveError`, so that Tune tries again; a rank's own exception raises `RankError`.
    """

    def __init__(self, shape: GangShape, data: Any, shelf: Any = None, collective_timeout_s: float = TIMEOUT_S) -> None:
        self._shape = shape
        self._collective_timeout_s = collective_timeout_s
        self._data = data
        self._shelf = shelf
        self._actors: list[Any] = []
        self._leaders: list[Any] = []
        """A rank of each node."""
        self._nodes: set[str] = set()

    def begin(self, config: dict[str, Any]) -> None:
        """Set up a trial on every rank: on the warm ones, if they live, else on new ones."""
        if config["engine"]["zero_stage"] == 3:
            self.kill()  # ZeRO-3 leaks from trial to trial
        if self._actors:
            try:
                self._all("begin", config, self._data, self._shelf)
                return
            except RayError:  # one had died since the last trial, which is no fault of this one
                self.kill()
        self._start()
        self._all("begin", config, self._data, self._shelf)

    def advance(self) -> Evaluation | Failure:
        """Train all ranks to the next evaluation; they report the same."""
        reported: Evaluation | Failure = self._all("advance")[0]
        return reported

    def must_leave(self) -> bool:
        """Whether a rank's node is about to go, or a rank itself was told to end."""
        return not self._nodes.isdisjoint(connect.draining()) or any(self._all("must_leave"))

    def rehearse(self, n_updates: int) -> Rehearsal:
        """Time updates and an evaluation of the trial that was begun; the first rank's."""
        timed: Rehearsal = self._all("rehearse", n_updates)[0]
        return timed

    def heaviest_update(self) -> None:
        """The update that needs most memory, on every rank."""
        self._all("heaviest_update")

    def save(self, folder: str) -> None:
        self._all("save", folder)

    def load(self, folder: str) -> None:
        self._all("load", folder)

    def export(self, folder: str, metrics: dict[str, float]) -> None:
        self._all("export", folder, metrics)

    def store(self, store: Store, prefix: str, metrics: dict[str, float] | None = None) -> StoredFolder:
        """Bring a checkpoint, or with `metrics` the trained model, to the store, each node what its ranks wrote."""
        name = _scratch_name()
        try:
            self._all("save_here", name, metrics)
            found = self._wait([leader.files_here.remote(name) for leader in self._leaders])
            files = {file: digest for of_node in found for file, digest in of_node.items()}
            stored = named(store, prefix, files)
            self._wait([leader.put.remote(name, stored, own) for leader, own in zip(self._leaders, found, strict=True)])
            stored.finish(files)
            return stored
        finally:
            self._discard(name)

    def load_stored(self, stored: StoredFolder) -> None:
        """Fetch a checkpoint to each node, and go on from it."""
        name = _scratch_name()
        try:
            self._wait([leader.fetch.remote(name, stored) for leader in self._leaders])
            self._all("load_here", name)
        finally:
            self._discard(name)

    def _discard(self, name: str) -> None:
        """Free the nodes' disks of what passed over them; nobody waits for it."""
        for leader in self._leaders:
            leader.discard.remote(name)

    def leave(self) -> NoReturn:
        """Give the nodes back, and have Tune start the trial again elsewhere, which is no failure of it."""
        self.kill()
        raise LeavingError("a node it runs on is about to go, or one of its processes was told to")

    def kill(self) -> None:
        """End every rank's process."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._leaders, self._nodes = [], [], set()

    def _start(self) -> None:
        group = ray.util.get_current_placement_group()
        n_workers, n_threads, n_gpus = self._shape.n_workers, self._shape.cpus_per_worker, self._shape.gpus_per_worker
        # Tune drops the supervisor's bundle from the group because it is empty; the ranks' are the last ones either way.
        first = group.bundle_count - n_workers
        remote = ray.remote(RankWorker)
        if self._shape.placement == PACK:  # they are where this process is
            environment = forked_environment(n_threads, n_gpus)
        else:
            environment = {"env_vars": process_environment(n_threads, n_gpus)}
        self._actors = [
            remote.options(
                num_cpus=n_threads,
                num_gpus=n_gpus,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=first + rank),
                runtime_env=environment,
            ).remote(rank, n_workers, n_threads, self._collective_timeout_s)
            for rank in range(n_workers)
        ]
        nodes = self._all("node")
        self._nodes = set(nodes)
        by_node = dict(zip(reversed(nodes), reversed(self._actors), strict=True))
        self._leaders = list(by_node.values())
        (address,) = self._wait([self._actors[0].rendezvous.remote()])
        self._all("meet", address)

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        return self._wait([getattr(actor, method).remote(*arguments) for actor in self._actors])

    def _wait(self, calls: list[Any]) -> list[Any]:
        """The calls' results, or the first failure, as soon as it happens."""
        pending = list(calls)
        try:
            while pending:
                done, pending = ray.wait(pending, num_returns=1)
                ray.get(done)
        except RayTaskError as error:
            death = _death_among(pending)
            self.kill()
            if death is not None:
                raise death from error
            if isinstance(error.cause, OutOfMemory):
                raise RankOutOfMemoryError(str(error.cause)) from error
            if is_broken_collective(error.cause):
                raise CollectiveError(describe_error(error.cause, self._collective_timeout_s)) from error
            raise RankError(reason_of(error.cause)) from error
        except OutOfMemoryError as error:  # Ray ended a process because its node had no memory left
            self.kill()
            raise RankOutOfMemoryError(
                "its node ran out of memory; raise --cpus-per-worker, or lower --max-concurrent"
            ) from error
        except RayError:  # a process died
            self.kill()
            raise
        return [ray.get(call) for call in calls]


def _scratch_name() -> str:
    return f"smart-tuner-{uuid.uuid4().hex}"


def _death_among(calls: list[Any]) -> RayError | None:
    """The death of a process among the other ranks' calls: it breaks collectives, and may be reported after the breakage."""
    ready = ray.wait(calls, num_returns=len(calls), timeout=DEATH_S)[0] if calls else []
    for call in ready:
        try:
            ray.get(call)
        except RayTaskError:
            continue
        except RayError as error:
            return error
    return None


def reason_of(error: BaseException) -> str:
    """An exception as one line for the record."""
    if isinstance(error, ConfigError):
        return "; ".join(error.problems)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if full_disk(error):
        return f"the disk is full: {lines[0]}"
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
