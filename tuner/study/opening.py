"""Creates the Optuna study of a search, or opens it again."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from model.config import ConfigError, nearest
from tuner.config.names import valid_name
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.space import Space
from tuner.study.evaluations import goal_vectors
from tuner.study.pruners import PRUNERS, is_by_rank, pruner_problems
from tuner.study.pruners.base import ParetoPruner, Schedule, TrialScheduler
from tuner.study.samplers import SAMPLERS
from tuner.study.samplers.base import SamplerSettings
from tuner.study.samplers.history import STARTED, History
from tuner.study.samplers.prior import NEAR
from tuner.study.samplers.view import ViewSampler, paused_as_pruned
from tuner.study.storage import open_storage

DEFINITION = "searched"
"""User attribute of the study: what it searches, which is the same in every session."""
DEFINED = {"space": "another space", "metric": "another metric", "data": "other data", "requirements": "other requirements"}


@dataclass
class StudySettings:
    """What a study is opened with."""

    storage: str
    """`journal:PATH`, or the URL of a database."""
    name: str
    space: Space
    objective: Objective
    sampler: str
    pruner: str
    seed: int
    n_trials: int
    """What the trials of all sessions may use, in full trials (trial_budget.py)."""
    n_evaluations: int
    """Evaluations per trial."""
    data_sha256: str = ""
    """Hash of the data that the scores are measured on: a study has one."""
    requirements: Requirements = field(default_factory=Requirements)
    max_trials: int | None = None
    """Trials at most, however early they end; repeats do not count."""
    history: History = field(default_factory=History)
    """What earlier searches measured in this space; not stored in the study."""


def check_settings(settings: StudySettings) -> None:
    """Raises `ConfigError` with everything that is wrong with sampler and pruner."""
    problems = []
    for what, name, valid in (("sampler", settings.sampler, list(SAMPLERS)), ("pruner", settings.pruner, list(PRUNERS))):
        if name not in valid:
            problems.append(f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}")
    problems = problems or pruner_problems(settings.pruner, settings.objective, settings.requirements)
    if problems:
        raise ConfigError(problems)
    if settings.sampler == "grid":
        settings.space.grid_points()  # raises when there is none


def open_optuna_study(settings: StudySettings) -> optuna.Study:
    """Raises `ConfigError` when the storage cannot be used, or the study was begun with another definition."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = optuna.create_study(
        storage=open_storage(settings.storage),
        study_name=settings.name,
        directions=settings.objective.directions,
        pruner=_pruner(settings),
        load_if_exists=True,
    )
    trials = opened.get_trials(deepcopy=False)
    if isinstance(opened.pruner, ParetoPruner):
        opened.pruner.restore(trials)
    opened.sampler = _sampler(settings, trials)
    definition = _definition(settings)
    if DEFINITION in opened.user_attrs:
        _check_same(opened, definition)
        return opened
    _enqueue_starts(settings, opened)
    opened.set_user_attr(DEFINITION, definition)
    return opened


def make_scheduler(settings: StudySettings, opened: optuna.Study) -> TrialScheduler:
    scheduler = PRUNERS[settings.pruner].scheduler
    if scheduler is None:
        return TrialScheduler(opened)
    return scheduler(opened, Schedule(settings.n_evaluations), partial(goal_vectors, objective=settings.objective))


def _pruner(settings: StudySettings) -> BasePruner:
    pruner, schedule = PRUNERS[settings.pruner], Schedule(settings.n_evaluations)
    if pruner.pareto and is_by_rank(settings.objective, settings.requirements):
        return pruner.pareto(schedule, partial(goal_vectors, objective=settings.objective))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return pruner.make(schedule)


def _sampler(settings: StudySettings, trials: list[FrozenTrial]) -> optuna.samplers.BaseSampler:
    n_before = sum(trial.state is not TrialState.WAITING or "config" in trial.user_attrs for trial in trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = SAMPLERS[settings.sampler].make(
            SamplerSettings(settings.seed, settings.n_trials, n_before, settings.history.trials)
        )
    return ViewSampler(sampler, paused_as_pruned(settings.objective)) if PRUNERS[settings.pruner].promotes else sampler


def _definition(settings: StudySettings) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "space": settings.space.to_dict(),
        "metric": settings.objective.describe(),
        "data": settings.data_sha256,
        "requirements": sorted(settings.requirements.texts),
    }
    return dict(json.loads(json.dumps(definition)))  # as it will be read


def _check_same(opened: optuna.Study, definition: dict[str, Any]) -> None:
    stored = {"requirements": []} | opened.user_attrs[DEFINITION]  # older studies have none
    stored["space"] = stored["space"] | {"name": valid_name(stored["space"]["name"])}  # older ones may have any name
    problems = [
        f"the study {opened.study_name} was begun with {other}; go on with that, or give the search a new name"
        for key, other in DEFINED.items()
        if definition[key] != stored[key]
    ]
    if problems:
        raise ConfigError(problems)


def _enqueue_starts(settings: StudySettings, opened: optuna.Study) -> None:
    """A new study first tries configurations of earlier searches, then the space's start configurations."""
    starts = settings.history.starts
    for picks in starts[: settings.n_trials]:
        opened.enqueue_trial(dict(picks), user_attrs={STARTED: True}, skip_if_exists=True)
    for place, picks in enumerate(settings.space.start[: max(settings.n_trials - len(starts), 0)]):
        opened.enqueue_trial(dict(picks), user_attrs={NEAR: place}, skip_if_exists=True)
