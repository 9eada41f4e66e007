"""What earlier searches say of the points of a space, and how far this search believes it.

An earlier trial is never a trial of the study: it is not stored there, does not count, is not seen by the pruner and cannot be
the champion. It reaches this search in two ways. A few of the best configurations are tried first, for real. And the sampler
`tpe` is shown earlier trials beside its own (`warm_tpe`) for as long as their ranking agrees with what was measured here:

- The history predicts a trial's place from its nearest earlier trials: the mean place of `N_NEAREST`, from 0, the best, to 1.
- Kendall's τ between these predictions and the order of this search's own trials is tested against chance, one-sided. The
  history is believed while p is at most `LEVEL`: never before four trials have ended, since three cannot show that much.
- Each trial that ends here takes the place of an earlier one, so that the history is gone after `MOST` trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.study.samplers.tpe import even, rank

MOST = 60
"""Earlier trials that a search is shown at its beginning."""
N_NEAREST = 3
LEVEL = 0.1
"""How probable the agreement may be under pure chance for the history to be believed."""
SHOWN = "warm_start:shown"
"""System attribute of a trial: how many earlier trials its sampler was shown."""

STARTED = "warm_start"
"""User attribute of a trial that tries an earlier configuration."""


@dataclass(frozen=True)
class Remembered:
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
    trials: tuple[Remembered, ...] = ()
    """Those whose scores can be compared with this search's."""


@dataclass(frozen=True)
class Judgement:
    """How well the history predicts this search's trials."""

    n_trials: int
    """Trials that it was judged by."""
    agreement: float | None
    """Kendall's τ, −1 to 1; None where there is nothing to compare."""
    p_value: float | None

    @property
    def is_trusted(self) -> bool:
        return self.p_value is not None and self.p_value <= LEVEL


def frozen(trials: Sequence[Remembered]) -> list[FrozenTrial]:
    """At most `MOST` of the trials as Optuna's, best first and evenly over the ranking, numbered below 0: before all others."""
    ranked = sorted((_frozen(trial) for trial in trials), key=rank)
    kept = even(ranked, MOST)
    for index, trial in enumerate(kept):
        trial.number = index - len(kept)
    return kept


def _frozen(trial: Remembered) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if trial.is_complete else TrialState.PRUNED,
        value=trial.score,
        params=dict(trial.picks),
        distributions=dict(trial.distributions),
        intermediate_values={trial.n_evaluations: trial.score},
    )


class Memory:
    """Earlier trials, best first, and how they compare with a study's own. What is found of a trial is kept by its number."""

    def __init__(self, remembered: Sequence[Remembered]) -> None:
        self.trials = frozen(remembered)
        self._predicted: dict[int, float] = {}

    def judge(self, measured: Sequence[FrozenTrial]) -> Judgement:
        """Compare the history with the first `MOST` of a study's COMPLETE and PRUNED trials."""
        from scipy.stats import kendalltau

        own = _ended(measured)[:MOST]
        keys = [rank(trial) for trial in own]
        predicted = [self.predict(trial) for trial in own] if self.trials else []
        if len(set(predicted)) < 2 or len(set(keys)) < 2:
            return Judgement(len(own), None, None)
        places = {key: place for place, key in enumerate(sorted(set(keys)))}
        found = kendalltau(predicted, [places[key] for key in keys], alternative="greater")
        return Judgement(len(own), float(found.statistic), float(found.pvalue))

    def predict(self, trial: FrozenTrial) -> float:
        """The mean place of the trial's nearest earlier ones: 0 is the best, 1 the worst."""
        if trial.number not in self._predicted:
            nearest = sorted((distance(other, trial), place) for place, other in enumerate(self.trials))[:N_NEAREST]
            mean = sum(place for _, place in nearest) / len(nearest)
            self._predicted[trial.number] = mean / max(len(self.trials) - 1, 1)
        return self._predicted[trial.number]

    def shown(self, measured: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The earlier trials that a sampler is to see now; none once the study has `MOST` trials of its own."""
        n = min(len(self.trials), MOST - len(_ended(measured)))
        return even(self.trials, n) if n > 0 and self.judge(measured).is_trusted else []


def _ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def distance(left: FrozenTrial, right: FrozenTrial) -> float:
    """Mean over the parameters of either: the distance in units of the range, 1 for another choice or where one is inactive."""
    names = left.params.keys() | right.params.keys()
    return sum(_apart(left, right, name) for name in sorted(names)) / max(len(names), 1)


def _apart(left: FrozenTrial, right: FrozenTrial, name: str) -> float:
    if name not in left.params or name not in right.params:
        return 1.0
    distribution = right.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return float(left.params[name] != right.params[name])
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return abs(scale(left.params[name]) - scale(right.params[name])) / (high - low) if high > low else 0.0


def outcome(history: History, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """What became of the history in a study of these trials, as JSON values for results.json."""
    memory = Memory(history.trials)
    judgement = memory.judge(trials)
    drawn = [trial for trial in trials if "fixed_params" not in trial.system_attrs]
    return {
        "n_started": sum(STARTED in trial.user_attrs and trial.state is not TrialState.WAITING for trial in trials),
        "n_remembered": len(memory.trials),
        "n_guided": sum(trial.system_attrs.get(SHOWN, 0) > 0 for trial in drawn),
        "agreement": judgement.agreement,
        "p_value": judgement.p_value,
        "judged_by": judgement.n_trials,
        "trusted": judgement.is_trusted,
    }
