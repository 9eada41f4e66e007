"""Creates the Optuna study of a search, or opens it again."""

from __future__ import annotations

import json
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from model.config import ConfigError, nearest
from tuner.study.evaluations import goal_vectors
from tuner.study.pruners import PRUNERS, is_by_rank, pruner_problems
from tuner.study.pruners.base import ParetoPruner, Schedule, TrialScheduler
from tuner.study.samplers import SAMPLERS
from tuner.study.samplers.base import SamplerSettings
from tuner.study.samplers.history import STARTED
from tuner.study.samplers.prior import NEAR
from tuner.study.samplers.view import ViewSampler, paused_as_pruned
from tuner.study.storage import open_storage

if TYPE_CHECKING:
    from tuner.study.study import Study

DEFINITION = "searched"
"""User attribute of the study: what it searches, which is the same in every session."""
DEFINED = {
    "space": "another space",
    "metric": "another metric",
    "data": "other data",
    "requirements": "other requirements",
}


def check_settings(study: Study) -> None:
    """Raises `ConfigError` with everything that is wrong with sampler and pruner."""
    problems = []
    for what, name, valid in (("sampler", study.sampler, list(SAMPLERS)), ("pruner", study.pruner, list(PRUNERS))):
        if name not in valid:
            problems.append(f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}")
    problems = problems or pruner_problems(study.pruner, study.objective, study.requirements)
    if problems:
        raise ConfigError(problems)
    if study.sampler == "grid":
        study.space.grid_points()  # raises when there is none


def open_optuna_study(study: Study) -> optuna.Study:
    """Raises `ConfigError` when the storage cannot be used, or the study was begun with another definition."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = optuna.create_study(
        storage=open_storage(study.storage),
        study_name=study.name,
        directions=study.objective.directions,
        pruner=_pruner(study),
        load_if_exists=True,
    )
    trials = opened.get_trials(deepcopy=False)
    if isinstance(opened.pruner, ParetoPruner):
        opened.pruner.restore(trials)
    opened.sampler = _sampler(study, trials)
    definition = _definition(study)
    if DEFINITION in opened.user_attrs:
        _check_same(opened, definition)
        return opened
    _enqueue_starts(study, opened)
    opened.set_user_attr(DEFINITION, definition)
    return opened


def make_scheduler(study: Study, opened: optuna.Study) -> TrialScheduler:
    scheduler = PRUNERS[study.pruner].scheduler
    if scheduler is None:
        return TrialScheduler(opened)
    return scheduler(opened, Schedule(study.n_evaluations), partial(goal_vectors, objective=study.objective))


def _pruner(study: Study) -> BasePruner:
    pruner, schedule = PRUNERS[study.pruner], Schedule(study.n_evaluations)
    if pruner.pareto and is_by_rank(study.objective, study.requirements):
        return pruner.pareto(schedule, partial(goal_vectors, objective=study.objective))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return pruner.make(schedule)


def _sampler(study: Study, trials: list[FrozenTrial]) -> optuna.samplers.BaseSampler:
    n_before = sum(trial.state is not TrialState.WAITING or "config" in trial.user_attrs for trial in trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = SAMPLERS[study.sampler].make(SamplerSettings(study.seed, study.n_trials, n_before, study.history.trials))
    return ViewSampler(sampler, paused_as_pruned(study.objective)) if PRUNERS[study.pruner].promotes else sampler


def _definition(study: Study) -> dict[str, Any]:
    definition = {
        "space": study.space.to_dict(),
        "metric": study.objective.describe(),
        "data": study.data_sha256,
        "requirements": sorted(study.requirements.texts),
    }
    normalised: dict[str, Any] = json.loads(json.dumps(definition))  # as it will be read
    return normalised


def _check_same(opened: optuna.Study, definition: dict[str, Any]) -> None:
    stored = {"requirements": []} | opened.user_attrs[DEFINITION]  # older studies have none
    problems = [
        f"the study {opened.study_name} was begun with {other}; go on with that, or give the search a new name"
        for key, other in DEFINED.items()
        if definition[key] != stored[key]
    ]
    if problems:
        raise ConfigError(problems)


def _enqueue_starts(study: Study, opened: optuna.Study) -> None:
    """A new study first tries configurations of earlier searches, then the space's start configurations."""
    starts = study.history.starts
    for picks in starts[: study.n_trials]:
        opened.enqueue_trial(dict(picks), user_attrs={STARTED: True}, skip_if_exists=True)
    for place, picks in enumerate(study.space.start[: max(study.n_trials - len(starts), 0)]):
        opened.enqueue_trial(dict(picks), user_attrs={NEAR: place}, skip_if_exists=True)
