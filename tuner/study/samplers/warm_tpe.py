"""TPE that is shown trials of earlier searches beside the study's own, while they prove right (`history`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from tuner.study.samplers.history import SHOWN, Memory, Remembered
from tuner.study.samplers.tpe import BoundedTPESampler, Part


class WarmTPESampler(BoundedTPESampler):
    """`BoundedTPESampler` with a memory. With several objectives it has none."""

    def __init__(self, remembered: Sequence[Remembered], **options: Any) -> None:
        super().__init__(**options)
        self._memory = Memory(remembered)
        self._warm: tuple[int, Study] | None = None
        self._n_shown = 0

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        picks = super().sample_relative(study, trial, search_space)
        if self._n_shown:
            study._storage.set_trial_system_attr(trial._trial_id, SHOWN, self._n_shown)
        return picks

    def _part(self, study: Study, trial: FrozenTrial) -> Study:
        part = super()._part(study, trial)
        if len(study.directions) > 1:
            return part
        if self._warm is None or self._warm[0] != trial.number:
            own = part._get_trials()
            shown = self._memory.shown(own)
            self._n_shown = len(shown)
            self._warm = trial.number, cast(Study, Part(study, [*shown, *own]))
        return self._warm[1]
