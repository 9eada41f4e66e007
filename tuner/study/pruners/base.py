"""The fields of a pruner's registry entry, and the base classes of the project's pruners.

Optuna's step is the index of the evaluation, from 1: trials are compared at the same share of their own schedule, where their
learning rates have decayed alike. The last evaluation is never pruned.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pareto_fronts import ParetoFronts, Vector
from tuner.study.records import Verdict

GoalVectors = Callable[[FrozenTrial], Sequence[Vector]]
"""The goals of each evaluation of a trial, in order; more is better."""
N_STARTUP = 2
"""Complete trials before `median` and `percentile` stop any; on the recorded sets better than 5 (docs/log.md)."""


@dataclass(frozen=True)
class Schedule:
    """The evaluations of a trial. Settings are for about ten."""

    n_evaluations: int

    @property
    def n_warmup(self) -> int:
        """The evaluation from which trials are compared: before it, a fifth of the schedule, scores are too noisy."""
        return self.n_evaluations // 5 + 1

    @property
    def first_rung(self) -> int:
        """Evaluation at which halving begins: the first of ten, then the second, the fourth and the eighth."""
        return max(1, self.n_evaluations // 10)


@dataclass(frozen=True)
class Pruner:
    """An entry of the registry."""

    description: str
    """What it stops, in a line of docs/reference.md."""
    make: Callable[[Schedule], BasePruner]
    """The pruner for one goal: Optuna's own."""
    pareto: Callable[[Schedule, GoalVectors], BasePruner] | None = None
    """The pruner for several goals, or for one and requirements; None where it compares single values."""
    scheduler: Callable[[optuna.Study, Schedule, GoalVectors], TrialScheduler] | None = None
    """What pauses and promotes trials; None for a pruner that stops them for good."""

    @property
    def by_rank(self) -> bool:
        """Whether it can compare trials by Pareto rank, as several goals and requirements need."""
        return self.pareto is not None

    @property
    def promotes(self) -> bool:
        return self.scheduler is not None


class ParetoPruner(BasePruner):
    """Keeps the fronts of each evaluation up to date, so that a decision does not sort the study again.

    A trial is given to `prune` with the evaluation in question as its last, whether that is stored already or not. Optuna has
    nothing of the kind: its `report` and `should_prune` raise under several goals. With one goal both rules are those of
    Optuna's pruners, as far as ranks can tell (see `is_behind`) and scores only rise: Optuna's median takes a trial's best
    score so far, which several goals do not have.
    """

    def __init__(self, goal_vectors: GoalVectors) -> None:
        self._goal_vectors = goal_vectors
        self._fronts: defaultdict[int, ParetoFronts] = defaultdict(ParetoFronts)
        """By the index of the evaluation."""

    def restore(self, trials: Iterable[FrozenTrial]) -> None:
        """Read all trials of the study anew."""
        vectors: defaultdict[int, list[Vector]] = defaultdict(list)
        for trial in trials:
            if self._counts(trial):
                for index, vector in enumerate(self._goal_vectors(trial), start=1):
                    vectors[index].append(vector)
        self._fronts = defaultdict(ParetoFronts, {index: ParetoFronts(group) for index, group in vectors.items()})

    def completed(self, trial: FrozenTrial) -> None:
        """Take in a trial that has become COMPLETE."""
        return

    @abstractmethod
    def _counts(self, trial: FrozenTrial) -> bool:
        """Whether a trial is one of those that others are compared with."""


class TrialScheduler:
    """Stops trials by the pruner of their study; a subclass may pause and promote them instead.

    It must be called for every change of a trial.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def paused(self) -> list[int]:
        """Trials that are paused and hold no processes, by number."""
        return []

    def verdict(self, trial: FrozenTrial, *, is_last: bool) -> Verdict:
        """What becomes of a trial after its last evaluation so far. The last of its schedule never stops it."""
        return Verdict.CONTINUE if is_last or not self._study.pruner.prune(self._study, trial) else Verdict.PRUNE

    def completed(self, trial: FrozenTrial) -> None:
        """A trial, or a repeat of one, has become COMPLETE."""
        if isinstance(self._study.pruner, ParetoPruner):
            self._study.pruner.completed(trial)

    def end(self, number: int, state: TrialState) -> None:
        """A trial has ended without becoming COMPLETE."""
        return

    def promote(self) -> int | None:
        """Let the most promising paused trial run that may go on; None where there is none."""
        return None

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back."""
        raise AssertionError("only a pruner that promotes pauses a trial")
