"""The pruners of one goal at equal compute: Optuna's rules over what the others had within a trial's compute (rungs.py).

Whom a trial meets is a sample of the others that is kept up as they report and end (sample.py): a judgement reads no other
trial from the storage, and its cost is bounded, whatever the size of the study. A trial is put to a pruner with the evaluation
in question as its last, whether that is stored already or not.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from optuna import Study
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from tuner.study.repeats import SAME_AS
from tuner.study.rungs import Curve, scores_at
from tuner.study.running_pruners import RunningHalving, RunningHyperband, RunningPercentile, RunningWilcoxon, settings_of
from tuner.study.sample import Sample

CurveOf = Callable[[FrozenTrial], Curve[float]]


class _AtCompute:
    """Knows the curves of trials."""

    def __init__(self, *settings: Any, curve_of: CurveOf, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._curve_of = curve_of


class PercentileAtCompute(_AtCompute, RunningPercentile):
    """Stops a trial whose best score is below a percentile of what the COMPLETE trials had within its compute."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._complete: Sample[float] = Sample()
        super().restart(study, trials)

    def completed(self, trial: FrozenTrial) -> None:
        self._n_complete += 1
        self._complete.put(trial.number, self._curve_of(trial), is_complete=True)

    def _complete_where(self, trial: FrozenTrial, step: int) -> Sequence[float]:
        return sorted(self._complete.within(_compute(self._curve_of(trial))))


class HalvingAtCompute(_AtCompute, RunningHalving):
    """Asynchronous successive halving among all that came to a trial's compute, whichever evaluation of theirs that was after.

    Repeats are not among them: they did not come there themselves.
    """

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._arrived: Sample[float] = Sample()
        for trial in trials:
            if SAME_AS not in trial.user_attrs:
                self.reported(trial)

    def reported(self, trial: FrozenTrial) -> None:
        self._arrived.put(trial.number, self._curve_of(trial), is_complete=trial.state is TrialState.COMPLETE)

    def completed(self, trial: FrozenTrial) -> None:
        if trial.number in self._arrived:
            self.reported(trial)

    def _arrived_where(self, trial: FrozenTrial, rung: int, value: float) -> Sequence[float]:
        return sorted([*self._arrived.within(_compute(self._curve_of(trial)), but=trial.number), value])


class HyperbandAtCompute(_AtCompute, RunningHyperband):
    """Halving in several brackets, each among its own trials, with a sample of its own."""

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._study = study
        super().restart(study, trials)

    def reported(self, trial: FrozenTrial) -> None:
        self._bracket_of(trial).reported(trial)

    def completed(self, trial: FrozenTrial) -> None:
        self._bracket_of(trial).completed(trial)

    def _bracket_of(self, trial: FrozenTrial) -> HalvingAtCompute:
        return cast(HalvingAtCompute, self._pruners[self._get_bracket_id(self._study, trial)])

    def _make_bracket(self, pruner: SuccessiveHalvingPruner) -> RunningHalving:
        return HalvingAtCompute(*settings_of(pruner), curve_of=self._curve_of)


class WilcoxonAtCompute(_AtCompute, RunningWilcoxon):
    """Compares a trial's evaluations, pair by pair, with what the best trial had within the compute of each, if anything."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "WilcoxonPruner finds steps|The best trial has no intermediate values", UserWarning
            )
            return super().prune(study, trial)

    def _best_where(self, trial: FrozenTrial) -> FrozenTrial | None:
        if self._best is None:
            return None
        seen = copy.copy(self._best)
        computes = [compute for compute, _ in self._curve_of(trial)]
        seen.intermediate_values = scores_at(self._curve_of(self._best), computes, is_complete=True)
        return seen


def _compute(curve: Curve[float]) -> float:
    """What a trial has spent up to its last evaluation."""
    return curve[-1][0]
