"""An Optuna storage that counts its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class CountingStorage(InMemoryStorage):
    """Optuna's own storage, which also counts its calls and the trials that it hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.n_read = 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("get_", "set_", "create_")):
            super().__getattribute__("calls")[name] += 1
        return super().__getattribute__(name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = super().get_all_trials(study_id, deepcopy, states)
        self.n_read += len(self._studies[study_id].trials)
        return found

    def reset(self) -> None:
        self.calls.clear()
        self.n_read = 0
