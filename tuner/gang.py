"""A gang: the ranks of one trial, one actor each, inside the trial's placement group."""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.shape import GangShape
from model.config import ConfigError
from model.evaluation import Evaluation, Failure
from tuner.worker import RankWorker, thread_environment


class RankError(Exception):
    """A rank's code raised: trying again would raise again. Holds one line for the record."""


class Gang:
    """Starts the ranks in the current placement group and speaks to all of them at once.

    A peer that dies can leave the others waiting in a collective for ever, so the first failure kills them all; the next
    `begin` starts afresh.
    """

    def __init__(self, shape: GangShape, data: Any) -> None:
        self._shape = shape
        self._data = data
        self._actors: list[Any] = []

    def begin(self, config: dict[str, Any]) -> None:
        """Set up a trial on every rank, which are started if need be; anew under ZeRO-3, which leaks from trial to trial."""
        if config["engine"]["zero_stage"] == 3:
            self.kill()
        if not self._actors:
            self._start()
        self._all("begin", config, self._data)

    def advance(self) -> Evaluation | Failure:
        """Train all ranks to the next evaluation; they report the same."""
        reported: Evaluation | Failure = self._all("advance")[0]
        return reported

    def save(self, folder: str) -> None:
        self._all("save", folder)

    def load(self, folder: str) -> None:
        self._all("load", folder)

    def export(self, folder: str, metrics: dict[str, float]) -> None:
        self._all("export", folder, metrics)

    def kill(self) -> None:
        """End every rank's process."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _start(self) -> None:
        group = ray.util.get_current_placement_group()
        n_workers, n_threads = self._shape.n_workers, self._shape.cpus_per_worker
        # Tune drops the supervisor's bundle from the group because it is empty; the ranks' are the last ones either way.
        first = group.bundle_count - n_workers
        remote = ray.remote(RankWorker)
        self._actors = [
            remote.options(
                num_cpus=n_threads,
                num_gpus=self._shape.gpus_per_worker,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=first + rank),
                runtime_env={"env_vars": thread_environment(n_threads)},
            ).remote(rank, n_workers, n_threads)
            for rank in range(n_workers)
        ]
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
        except RayActorError:
            self.kill()
            raise
        except RayTaskError as error:
            self.kill()
            raise RankError(reason_of(error.cause)) from error
        return [ray.get(call) for call in calls]


def reason_of(error: BaseException) -> str:
    """An exception as one line for the record."""
    if isinstance(error, ConfigError):
        return "; ".join(error.problems)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
