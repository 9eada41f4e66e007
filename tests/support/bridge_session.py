"""A bridge between Tune and a study, driven by hand."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.training.evaluation import Evaluation
from tests.support.checkpoint_folders import Folder, made
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import LAST_WRITTEN, Models
from tuner.config.objective import Objective
from tuner.execution.bridge import Bridge
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import TrialRecord
from tuner.space import load
from tuner.study import Study
from tuner.tracking.events import Observer

SPACE = """
name: tiny
fixed: {mixture: [sst]}
search: {optim.lr: {float: [1.0e-5, 1.0e-3], log: true}}
"""


N_EVALUATIONS = 4


@dataclass
class Heard(Observer):
    """Notes what it hears."""

    evaluations: list[tuple[int, int]] = field(default_factory=list)
    paused: list[int] = field(default_factory=list)
    ended: list[tuple[int, str]] = field(default_factory=list)

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self.evaluations.append((number, evaluation.index))

    def trial_paused(self, record: TrialRecord) -> None:
        assert record.state == "PAUSED"
        self.paused.append(record.number)

    def trial_finished(self, record: TrialRecord) -> None:
        self.ended.append((record.number, record.state))


class Session:
    """One session of a search on `folder`, as `tuner.search` sets it up."""

    def __init__(self, folder: Path, n_trials: int = 3, slots: int = 2, pruner: str = "none") -> None:
        (folder / "tiny.yaml").write_text(SPACE, encoding="utf-8")
        arguments = (load(folder / "tiny.yaml"), Objective("sst/accuracy"), "random", pruner, 0, n_trials, N_EVALUATIONS)
        self.folder = folder
        self.study = Study(f"journal:{folder / 'journal'}", "study", *arguments, max_trials=n_trials)
        self.heard = Heard()
        self.interruption = Interruption()
        self.checkpoints = Checkpoints(folder / "checkpoints", 1)
        self.models = Models(folder / "models")
        unfinished = self.study.resume_unfinished()
        parts = (self.study, self.heard, self.models, self.checkpoints, lambda: slots, self.interruption)
        self.bridge = Bridge(*parts, unfinished)
        self._n_saved = 0

    def ask(self, trial_id: str) -> dict[str, Any]:
        asked = self.bridge.ask(trial_id)
        assert isinstance(asked, dict)
        self.bridge.on_start(asked["number"])
        return asked

    def report(self, number: int, index: int, score: float = 0.5, *, save: bool = False) -> bool:
        """One evaluation comes up; where it is asked for or due, so does what was saved. Returns whether the trial ends."""
        evaluation = Evaluation(index, N_EVALUATIONS, 10 * index, 40, 80 * index, {"sst/accuracy": score}, {}, float(index))
        ends = self.bridge.on_evaluation(number, evaluation)
        if save or evaluation.is_last or self.bridge.wants_checkpoint(number):
            self._n_saved += 1
            self.bridge.on_checkpoint(number, evaluation, self._saved(f"{number} {index}"))
        return ends

    def _saved(self, text: str) -> Any:
        folder = made(self.folder / f"saved-{self._n_saved}-{text.replace(' ', '-')}", text)
        return _Saved(folder.path)


class _Saved(Folder):
    def to_directory(self, path: str) -> None:
        shutil.copytree(self.path, path)
        (Path(path) / LAST_WRITTEN).touch()
