"""What earlier searches measured at points of a space, and how far this search trusts it.

An earlier trial is never a trial of the study: it is not stored there, does not count, is not seen by the pruner and cannot be
the champion. It reaches this search in two ways. A few of the best configurations are tried first, for real. And the sampler
`tpe` is shown earlier trials beside the study's own for as long as their ranking agrees with what was measured here:

- The history predicts a trial's rank from its nearest earlier trials: the mean rank of `N_NEAREST`, from 0, the best, to 1.
- Kendall's τ between these predictions and the order of this search's own trials is tested against chance, one-sided. The
  history is trusted while p is at most `LEVEL`: never before four trials have ended, since three cannot show that much.
- Each trial that ends here replaces an earlier one, so that none is shown after `MAX_TRIALS` trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.study.samplers.ranking import evenly_spaced, rank

MAX_TRIALS = 60
"""Earlier trials that a search is shown at its beginning."""
N_NEAREST = 3
LEVEL = 0.1
"""Significance level of the agreement."""
SHOWN = "warm_start:shown"
"""System attribute of a trial: how many earlier trials its sampler was shown."""
STARTED = "warm_start"
"""User attribute of a trial that tries an earlier configuration."""


@dataclass(frozen=True)
class EarlierPoint:
    """An earlier trial at a point of this search's space."""

    picks: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    is_complete: bool
    """Else it was pruned after `n_evaluations`."""
    score: float
    n_evaluations: int


@dataclass(frozen=True)
class History:
    """What a warm start brings into a study."""

    starts: tuple[Mapping[str, Any], ...] = ()
    """Configurations to try first, in Optuna's names and scalars."""
    trials: tuple[EarlierPoint, ...] = ()
    """Those whose scores can be compared with this search's."""


@dataclass(frozen=True)
class Agreement:
    """How well the history predicts this search's trials."""

    n_trials: int
    """Trials that were compared."""
    tau: float | None
    """Kendall's τ, −1 to 1; None where there is nothing to compare."""
    p_value: float | None

    @property
    def is_trusted(self) -> bool:
        return self.p_value is not None and self.p_value <= LEVEL


class HistoryView:
    """Shows a sampler earlier trials beside a study's own. Predictions are cached by the number of the trial."""

    def __init__(self, points: Sequence[EarlierPoint]) -> None:
        ranked = sorted((_trial(point) for point in points), key=rank)
        self.trials = evenly_spaced(ranked, MAX_TRIALS)
        """Best first, an even sample of the ranking, numbered below 0: before all others."""
        for index, trial in enumerate(self.trials):
            trial.number = index - len(self.trials)
        self._predicted: dict[int, float] = {}

    def __call__(self, study: optuna.Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The trials with earlier ones before them. With several goals there are none."""
        shown = self.shown(trials) if len(study.directions) == 1 else []
        if shown:
            study._storage.set_trial_system_attr(trial._trial_id, SHOWN, len(shown))
        return [*shown, *trials]

    def shown(self, measured: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The earlier trials to show now; none once the study has `MAX_TRIALS` trials of its own."""
        n = min(len(self.trials), MAX_TRIALS - len(_ended(measured)))
        return evenly_spaced(self.trials, n) if n > 0 and self.agreement(measured).is_trusted else []

    def agreement(self, measured: Sequence[FrozenTrial]) -> Agreement:
        """Compare the history with the first `MAX_TRIALS` of a study's COMPLETE and PRUNED trials."""
        from scipy.stats import kendalltau

        ended = _ended(measured)[:MAX_TRIALS]
        keys = [rank(trial) for trial in ended]
        predicted = [self.predict(trial) for trial in ended] if self.trials else []
        if len(set(predicted)) < 2 or len(set(keys)) < 2:
            return Agreement(len(ended), None, None)
        places = {key: place for place, key in enumerate(sorted(set(keys)))}
        test = kendalltau(predicted, [places[key] for key in keys], alternative="greater")
        return Agreement(len(ended), float(test.statistic), float(test.pvalue))

    def predict(self, trial: FrozenTrial) -> float:
        """The mean rank of the trial's nearest earlier ones: 0 is the best, 1 the worst."""
        if trial.number not in self._predicted:
            nearest = sorted((distance(other, trial), place) for place, other in enumerate(self.trials))[:N_NEAREST]
            mean = sum(place for _, place in nearest) / len(nearest)
            self._predicted[trial.number] = mean / max(len(self.trials) - 1, 1)
        return self._predicted[trial.number]


def _trial(point: EarlierPoint) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if point.is_complete else TrialState.PRUNED,
        value=point.score,
        params=dict(point.picks),
        distributions=dict(point.distributions),
        intermediate_values={point.n_evaluations: point.score},
    )


def _ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def distance(left: FrozenTrial, right: FrozenTrial) -> float:
    """Mean over the parameters of either: the distance in units of the range, 1 for another choice or where one is inactive."""
    names = left.params.keys() | right.params.keys()
    return sum(_parameter_distance(left, right, name) for name in sorted(names)) / max(len(names), 1)


def _parameter_distance(left: FrozenTrial, right: FrozenTrial, name: str) -> float:
    if name not in left.params or name not in right.params:
        return 1.0
    distribution = right.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return float(left.params[name] != right.params[name])
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return abs(scale(left.params[name]) - scale(right.params[name])) / (high - low) if high > low else 0.0


def history_outcome(history: History, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """How a study of these trials used the history, as JSON values for results.json."""
    view = HistoryView(history.trials)
    agreement = view.agreement(trials)
    drawn = [trial for trial in trials if "fixed_params" not in trial.system_attrs]
    return {
        "n_started": sum(STARTED in trial.user_attrs and trial.state is not TrialState.WAITING for trial in trials),
        "n_remembered": len(view.trials),
        "n_guided": sum(trial.system_attrs.get(SHOWN, 0) > 0 for trial in drawn),
        "agreement": agreement.tau,
        "p_value": agreement.p_value,
        "judged_by": agreement.n_trials,
        "trusted": agreement.is_trusted,
    }
