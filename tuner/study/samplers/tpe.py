"""TPE at a cost that hardly grows with the study, shown trials of earlier searches while they prove right (`history`)."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

from tuner.study.samplers.base import Sampler, SamplerSettings
from tuner.study.samplers.history import HistoryView
from tuner.study.samplers.ranking import RankingView
from tuner.study.samplers.view import TrialView, ViewSampler


class _TPESampler(TPESampler):
    def _get_params(self, trial: FrozenTrial, study: Study) -> dict[str, Any]:
        """Those of the trial itself. Optuna adds, for other processes, what was drawn but not used, at the price of JSON."""
        return trial.params


def bounded_tpe(*views: TrialView, **options: Any) -> ViewSampler:
    """Optuna's TPE with these options over at most `ranking.LIMIT` trials of a study, and through further views."""
    return ViewSampler(_TPESampler(**options), RankingView(), *views)


def _make(settings: SamplerSettings) -> ViewSampler:
    views = [HistoryView(settings.history)] if settings.history else []
    return bounded_tpe(
        *views,
        seed=settings.fresh_seed,
        n_startup_trials=settings.n_startup,
        multivariate=True,
        group=True,  # parameters under the same conditions form a group, and each group is modelled jointly
        constant_liar=True,
    )


SAMPLER = Sampler(
    "tree-structured Parzen estimator", _make, has_model=True, constraints=True, conditions=True, history=True
)  # fmt: skip
