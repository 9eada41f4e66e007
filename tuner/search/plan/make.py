"""From options to a plan: every check in its order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, cast

from model.config import ConfigError
from model.data.source import DataSource, inspect
from tuner.config.options import Options, storage_of, tracking_uri_of
from tuner.config.requirements import Requirements
from tuner.search.plan.checks import (
    budget_of,
    check_budget,
    check_goals,
    check_options,
    check_price,
    check_target,
    check_watched,
    objective_of,
    probe_storage,
    restrict,
    run_dir_of,
    store_of,
    targets_of,
    wanted_tasks,
)
from tuner.search.plan.notes import confirmation_notes, notes_of
from tuner.search.plan.plan import Plan
from tuner.search.plan.resolve import (
    check_placement,
    choices_of,
    confirmation_of,
    controls_of,
    default_pruner,
    named_by,
    shape_of,
    sources_of,
    space_of,
)
from tuner.search.plan.samples import arms_of, check_backbone, check_samples, check_uniform, draw, tasks_of
from tuner.search.warm_start.select import select
from tuner.space import void_notes
from tuner.study import SAMPLERS

T = TypeVar("T")


def make(options: Options, *, has_gpu: bool | None = None) -> Plan:
    """Check the options against each other and the data. Raises `ConfigError` with every problem; writes nothing."""
    has_gpu = shutil.which("nvidia-smi") is not None if has_gpu is None else has_gpu
    problems = Problems()
    check = problems.attempt
    check(check_options, options)
    check(check_placement, options)
    source = check(DataSource.parse, options.data)
    whole = check(space_of, options, has_gpu)
    run_dir = check(run_dir_of, options)
    wanted = check(wanted_tasks, options)
    budget = check(budget_of, options)
    named = check(named_by, options)
    shape = check(shape_of, options, whole, has_gpu)
    choices = check(choices_of, options, named, whole)
    targets = check(targets_of, whole, wanted)
    objective = check(objective_of, options, whole, targets)
    requirements = check(Requirements.parse, options.require, targets)
    check(check_goals, objective, requirements, choices)
    check(check_budget, budget, shape)
    check(check_price, options, shape)
    check(check_target, budget, objective)
    tracking_uri = check(tracking_uri_of, options, run_dir)
    storage = check(storage_of, options, run_dir)
    check(probe_storage, options, storage)
    store = check(store_of, options)
    restricted = check(restrict, whole, wanted, objective, requirements)
    samples = check(lambda found: draw(found[0]), restricted)
    check(check_uniform, samples)
    check(check_watched, objective, requirements, samples)
    check(check_backbone, samples)
    counted = partial(inspect, skip_bad_rows=options.skip_bad_rows, arms=arms_of(samples or ()))
    summary = check(counted, source, targets if samples is None else tasks_of(samples))
    sources = check(sources_of, options, run_dir, choices, tracking_uri)
    problems.raise_any()

    space, left_out = restricted
    pruner, reason = (choices.pruner, None) if choices.pruner else default_pruner(samples, summary)
    alone = controls_of(options, requirements, space, samples, summary, shape)
    check_samples((*samples, *(control.config for control in alone)), summary, shape)
    remembers = SAMPLERS[choices.sampler].history and len(objective.goals) == 1 and not requirements.texts
    confirmation = confirmation_of(options, space, summary, shape, n_trials=choices.n_trials)
    history = partial(select, sources, space, objective, summary.sha256, choices.n_trials, remembers=remembers)
    warm_start = history() if sources else None
    return Plan(
        options=options if store is None else replace(options, storage_path=store.url),  # absolute, for --resume
        run_dir=run_dir,
        space=space,
        objective=objective,
        requirements=requirements,
        controls=alone,
        source=source,
        summary=summary,
        samples=samples,
        n_trials=min(choices.n_trials, space.n_grid) if choices.sampler == "grid" else choices.n_trials,
        max_trials=options.max_trials or space.options.get("max_trials"),
        sampler=choices.sampler,
        pruner=pruner,
        storage=storage,
        tracking_uri=tracking_uri,
        store=store,
        shape=shape,
        budget=budget,
        warm_start=warm_start,
        confirmation=confirmation,
        notes=(
            *([reason] if reason else []),
            *left_out,
            *notes_of(objective, requirements, choices, samples, summary),
            *confirmation_notes(confirmation),
            *void_notes(space),
            *(warm_start.sentences() if warm_start else ()),
        ),
    )


@dataclass
class Problems:
    """The sentences of everything that is wrong."""

    sentences: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[..., T], *needs: object) -> T:
        """The value of `step(*needs)`.

        Where the step fails, its problems are kept, and where what it needs failed, it is left out. The value is None then,
        and must be used in other attempts alone before `raise_any`.
        """
        if any(need is None for need in needs):
            return cast(T, None)
        try:
            return step(*needs)
        except ConfigError as error:
            self.sentences.extend(error.problems)
            return cast(T, None)

    def raise_any(self) -> None:
        if self.sentences:
            raise ConfigError(list(dict.fromkeys(self.sentences)))
