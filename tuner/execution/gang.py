"""A gang: the ranks of one trial, one actor each, in the trial's placement group."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster import connect
from cluster.shape import PACK, GangShape
from model.config import ConfigError
from model.engine.config import TIMEOUT_S
from model.engine.errors import CollectiveError, OutOfMemory, describe_error, is_broken_collective
from model.training.evaluation import Evaluation, Failure, Rehearsal
from tuner.artifacts.folder import StoredFolder, named
from tuner.artifacts.retry import full_disk
from tuner.artifacts.store import Store
from tuner.execution.rank import RankWorker, runtime_environment

DEATH_S = 5.0
"""Seconds to wait, after a rank's error, for Ray's report of the death of another rank that caused it."""


class RankError(Exception):
    """A rank raised an exception, and would again after a retry. The message is one line for the trial's record."""


class RankOutOfMemoryError(RankError):
    """A rank ran out of memory in an update; smaller micro-batches may fit."""


class LeavingError(RayActorError):  # type: ignore[misc]
    """A node is about to shut down; Tune restarts the trial and does not count a preemption as a failure."""

    def __init__(self) -> None:
        message = "one of its nodes is about to shut down, or one of its processes got SIGTERM"
        super().__init__(error_msg=message, preempted=True)


class Gang:
    """Starts the ranks in the current placement group and calls methods on all of them at once.

    A rank that dies can leave the others waiting in a collective for ever, so the first failure kills them all; the next
    `begin` starts new ones. A dead process raises Ray's error, and a collective that takes longer than
    `collective_timeout_s` raises `CollectiveError`: Tune retries both. A rank's own exception raises `RankError`.
    """

    def __init__(self, shape: GangShape, data: Any, shelf: Any = None, collective_timeout_s: float = TIMEOUT_S) -> None:
        self._shape = shape
        self._collective_timeout_s = collective_timeout_s
        self._data = data
        self._shelf = shelf
        self._actors: list[Any] = []
        self._leaders: list[Any] = []
        """One rank of each node, which moves that node's files."""
        self._nodes: set[str] = set()

    def begin(self, config: dict[str, Any]) -> None:
        """Set up a trial on the ranks of the previous one, or on new ones where these are dead."""
        if config["engine"]["zero_stage"] == 3:
            self.kill()  # ZeRO-3 leaks from trial to trial
        with suppress(RayError):  # a rank died since the previous trial: not a failure of this one
            if self._actors:
                self._all("begin", config, self._data, self._shelf)
                return
        self._start()
        self._all("begin", config, self._data, self._shelf)

    def advance(self) -> Evaluation | Failure:
        """Train all ranks to the next evaluation; all ranks report the same."""
        report: Evaluation | Failure = self._all("advance")[0]
        return report

    def must_leave(self) -> bool:
        """Whether a rank's node is about to shut down, or a rank got SIGTERM."""
        return not self._nodes.isdisjoint(connect.draining()) or any(self._all("must_leave"))

    def rehearse(self, n_updates: int) -> Rehearsal:
        """Time `n_updates` updates and an evaluation of the current trial, on the first rank."""
        timed: Rehearsal = self._all("rehearse", n_updates)[0]
        return timed

    def heaviest_update(self) -> None:
        """Run the update that needs most memory, on every rank."""
        self._all("heaviest_update")

    def save(self, folder: str, metrics: dict[str, float] | None = None) -> None:
        """Write a checkpoint to `folder`, or with `metrics` the trained model."""
        self._all("save", folder, metrics)

    def store(self, store: Store, prefix: str, metrics: dict[str, float] | None = None) -> StoredFolder:
        """Upload a checkpoint, or with `metrics` the trained model, from every node to the store."""
        with self._scratch() as name:
            self._all("save", name, metrics)
            files_by_node = self._wait([leader.files_here.remote(name) for leader in self._leaders])
            all_files = {file: digest for files in files_by_node for file, digest in files.items()}
            stored = named(store, prefix, all_files)
            uploads = zip(self._leaders, files_by_node, strict=True)
            self._wait([leader.put.remote(name, stored, files) for leader, files in uploads])
            stored.finish(all_files)
            return stored

    def load(self, checkpoint: str | StoredFolder) -> None:
        """Load the checkpoint in a folder, or one of the store, which is first downloaded to every node."""
        if isinstance(checkpoint, str):
            self._all("load", checkpoint)
            return
        with self._scratch() as name:
            self._wait([leader.fetch.remote(name, checkpoint) for leader in self._leaders])
            self._all("load", name)

    @contextmanager
    def _scratch(self) -> Iterator[str]:
        """A new name for the ranks' `scratch` folders, which are deleted at the end without waiting for it."""
        name = f"smart-tuner-{uuid.uuid4().hex}"
        try:
            yield name
        finally:
            for leader in self._leaders:
                leader.discard.remote(name)

    def leave(self) -> NoReturn:
        """Kill the ranks and have Tune restart the trial on other nodes."""
        self.kill()
        raise LeavingError

    def kill(self) -> None:
        """Kill every rank's process."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._leaders, self._nodes = [], [], set()

    def _start(self) -> None:
        group = ray.util.get_current_placement_group()
        n_workers, n_threads, n_gpus = self._shape.n_workers, self._shape.cpus_per_worker, self._shape.gpus_per_worker
        # Tune drops the supervisor's bundle because it is empty; the ranks' bundles are the last ones in either case.
        first = group.bundle_count - n_workers
        remote = ray.remote(RankWorker)
        environment = runtime_environment(n_threads, n_gpus, is_forked=self._shape.placement == PACK)  # on this process's node
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
        """The results of `calls`; raises the first failure as soon as it happens, after killing the gang."""
        pending = list(calls)
        try:
            while pending:
                done, pending = ray.wait(pending, num_returns=1)
                ray.get(done)
        except RayError as error:
            death = _death_among(pending) if isinstance(error, RayTaskError) else None
            self.kill()
            if isinstance(error, OutOfMemoryError):  # Ray ended a process because its node had no memory left
                raise RankOutOfMemoryError(
                    "its node ran out of memory; raise --cpus-per-worker, or lower --max-concurrent"
                ) from error
            if not isinstance(error, RayTaskError):  # a process died
                raise
            if death is not None:
                raise death from error
            if isinstance(error.cause, OutOfMemory):
                raise RankOutOfMemoryError(str(error.cause)) from error
            if is_broken_collective(error.cause):
                raise CollectiveError(describe_error(error.cause, self._collective_timeout_s)) from error
            raise RankError(reason_of(error.cause)) from error
        return [ray.get(call) for call in calls]


def _death_among(calls: list[Any]) -> RayError | None:
    """The death of another rank's process, if one of `calls` has it; Ray may report it after the error that it causes."""
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
