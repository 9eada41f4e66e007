"""The plan of a search: its checked options and everything derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.shape import GangShape
from model.config import TrialConfig
from model.data.data_warnings import TaskWarnings
from model.data.source import DataSource, DataSummary
from tuner.artifacts.store import Store
from tuner.config.budget import Budget
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.search.confirmation.finalists import Confirmation
from tuner.search.controls import Control
from tuner.search.plan.samples import arms_of, tasks_of
from tuner.search.preflight.stage import Workload
from tuner.search.tokenise import DataRequest
from tuner.search.warm_start import WarmStart
from tuner.space import Space


@dataclass(frozen=True)
class Plan:
    """A search that can start."""

    options: Options
    run_dir: Path
    """Absolute; its last part is the search's name."""
    study_name: str
    """Of the Optuna study and of MLflow's parent run: the search's name when it began."""
    space: Space
    objective: Objective
    requirements: Requirements
    controls: tuple[Control, ...]
    """Trained before the first trial; none without `no-negative-transfer`."""
    source: DataSource
    summary: DataSummary
    samples: tuple[TrialConfig, ...]
    """Random configurations of the space, for checks and estimates."""
    n_trials: int
    """The compute of the search, in full trials."""
    max_trials: int | None
    """Trials at most; None for no limit."""
    sampler: str
    pruner: str
    storage: str
    """Optuna's, `journal:PATH` or a URL."""
    tracking_uri: str
    store: Store | None
    """Where checkpoints and models go; None for the run's folder."""
    shape: GangShape
    budget: Budget
    """Limits besides the number of trials."""
    warm_start: WarmStart | None
    """Results of earlier searches."""
    confirmation: Confirmation | None
    """The finalists' trainings after the last trial; None for none."""
    notes: tuple[str, ...]
    """Sentences for the user, such as on mixtures and rows left out, and on settings without effect."""
    data_warnings: dict[str, TaskWarnings]
    """What is unusual in the rows, by task."""

    @property
    def data_sentences(self) -> list[str]:
        """The data warnings in words."""
        rows = self.summary.rows
        return [text for task, found in self.data_warnings.items() for text in found.sentences(task, rows[task]["dev"])]

    @property
    def name(self) -> str:
        return self.run_dir.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks of all mixtures."""
        return tasks_of(self.samples)

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms of a cue data set that any configuration watches."""
        return arms_of(self.samples)

    @property
    def n_evaluations(self) -> int:
        return self.samples[0].budget.evaluations

    @property
    def n_confirming(self) -> int:
        """Trainings of the confirmation, at most."""
        return self.confirmation.n_trainings if self.confirmation else 0

    @property
    def budget_in_words(self) -> str:
        """The budget, and that a part of it is reserved for the confirmation."""
        text = self.budget.describe()
        if self.confirmation is None or (self.budget.time_s is None and self.budget.gpu_hours is None):
            return text
        return f"{text}; the expected time of the confirmation is reserved, at most half"

    @property
    def data_request(self) -> DataRequest:
        """The data to tokenise."""
        skip, sample = self.options.skip_bad_rows, self.samples[0]
        return DataRequest(self.source, self.tasks, self.arms, skip, sample.backbone, sample.max_length)

    @property
    def workload(self) -> Workload:
        """The trainings, for the preflight."""
        return Workload(
            samples=self.samples,
            summary=self.summary,
            shape=self.shape,
            n_trials=self.n_trials,
            controls=self.controls,
            n_confirming=self.n_confirming,
            time_s=self.budget.time_s,
            price_per_gpu_hour=self.options.price_per_gpu_hour,
        )

    @property
    def resumed(self) -> bool:
        return self.options.resume is not None
