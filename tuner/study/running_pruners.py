"""Optuna's pruners with running statistics: the same decisions at a cost that does not grow with the study.

Optuna's own read every trial at every evaluation. These are told of what they need when it happens, and read the study once,
when it is opened. Scores are finite: the study fails a trial that has others.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from optuna import Study
from optuna.pruners import HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.trial import FrozenTrial, TrialState

RUNG = "completed_rung_"
"""Optuna's prefix of the system attributes that hold a trial's value at each rung."""


class Running(ABC):
    """A pruner that keeps statistics of a study that it is maximising, the one of its process."""

    @abstractmethod
    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        """Forget everything and read all trials of the study."""

    def reported(self, trial: FrozenTrial) -> None:
        """Hear that an evaluation was stored, the last that this trial has; one that ends the trial by its verdict too."""
        return

    def completed(self, trial: FrozenTrial) -> None:
        """Hear that a trial has become COMPLETE."""
        return


class RunningPercentile(PercentilePruner, Running):
    """Stops a trial whose best score is below a percentile of the COMPLETE trials' scores at the same evaluation."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._n_complete = 0
        self._at: dict[int, list[float]] = {}
        for trial in trials:
            if trial.state is TrialState.COMPLETE:
                self.completed(trial)

    def completed(self, trial: FrozenTrial) -> None:
        self._n_complete += 1
        for step, value in trial.intermediate_values.items():
            bisect.insort(self._at.setdefault(step, []), value)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or step < self._n_warmup_steps or self._n_complete < max(self._n_startup_trials, 1):
            return False
        values = self._complete_where(trial, step)
        if len(values) < self._n_min_trials:
            return False
        return max(trial.intermediate_values.values()) < percentile(values, 100 - self._percentile)

    def _complete_where(self, trial: FrozenTrial, step: int) -> Sequence[float]:
        """What COMPLETE trials had where this one is, in increasing order."""
        return self._at.get(step, [])


class RunningHalving(SuccessiveHalvingPruner, Running):
    """Asynchronous successive halving: stops a trial that is not among the best 1 in η of those that came to its rung."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._rungs: dict[int, list[float]] = {}
        for trial in trials:
            for key, value in trial.system_attrs.items():
                if key.startswith(RUNG):
                    bisect.insort(self._rungs.setdefault(int(key.removeprefix(RUNG)), []), value)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        assert self._min_resource is not None, "our halving names its first rung"
        rung, value = self._next_rung(trial), trial.intermediate_values[step]
        while step >= self._min_resource * self._reduction_factor ** (self._min_early_stopping_rate + rung):
            study._storage.set_trial_system_attr(trial._trial_id, f"{RUNG}{rung}", value)
            values = self._arrived_where(trial, rung, value)
            n_promoted = max(len(values) // self._reduction_factor, 1)
            if len(values) <= self._bootstrap_count or value < values[-n_promoted]:
                return True
            rung += 1
        return False

    def _arrived_where(self, trial: FrozenTrial, rung: int, value: float) -> Sequence[float]:
        """What all trials had that came to where this one is, its own value included, in increasing order."""
        values = self._rungs.setdefault(rung, [])
        bisect.insort(values, value)
        return values

    def _next_rung(self, trial: FrozenTrial) -> int:
        done = {int(key.removeprefix(RUNG)) for key in trial.system_attrs if key.startswith(RUNG)}
        return max(done, default=-1) + 1


class RunningHyperband(HyperbandPruner, Running):
    """Halving in several brackets, each with its own first rung; a trial's bracket follows from its number."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        if not self._pruners:
            self._try_initialization(study)
            self._pruners = [self._make_bracket(pruner) for pruner in self._pruners]
        shares: list[list[FrozenTrial]] = [[] for _ in self._pruners]
        for trial in trials:
            shares[self._get_bracket_id(study, trial)].append(trial)
        for bracket, share in zip(cast(Sequence[RunningHalving], self._pruners), shares, strict=True):
            bracket.restart(study, share)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return self._pruners[self._get_bracket_id(study, trial)].prune(study, trial)

    def _make_bracket(self, pruner: SuccessiveHalvingPruner) -> RunningHalving:
        return RunningHalving(*settings_of(pruner))


class RunningWilcoxon(WilcoxonPruner, Running):
    """Compares a trial's evaluations, pair by pair, with the best trial's."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._best: FrozenTrial | None = None
        for trial in trials:
            if trial.state is TrialState.COMPLETE:
                self.completed(trial)

    def completed(self, trial: FrozenTrial) -> None:
        """The earliest of equals stays the best, as in Optuna."""
        assert trial.value is not None
        if self._best is None or (trial.value, -trial.number) > (self._best.value, -self._best.number):
            self._best = trial

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        best = self._best_where(trial)
        return best is not None and super().prune(cast(Study, _WithBest(study, best)), trial)

    def _best_where(self, trial: FrozenTrial) -> FrozenTrial | None:
        """The best trial with what it had where this one was."""
        return self._best


class _WithBest:
    """What Optuna's Wilcoxon pruner looks at of a study."""

    def __init__(self, study: Study, best: FrozenTrial) -> None:
        self.direction = study.direction
        self.best_trial = best


def settings_of(pruner: SuccessiveHalvingPruner) -> tuple[int, int, int, int]:
    """What a halving pruner is made from, in the order of its parameters."""
    assert pruner._min_resource is not None, "our halving names its first rung"
    return pruner._min_resource, pruner._reduction_factor, pruner._min_early_stopping_rate, pruner._bootstrap_count


def percentile(ordered: Sequence[float], q: float) -> float:
    """The q-th percentile of numbers in increasing order, to the last bit as `numpy.percentile` interpolates it."""
    position = (len(ordered) - 1) * (q / 100)
    below = math.floor(position)
    share = position - below
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
