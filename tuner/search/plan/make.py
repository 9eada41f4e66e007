"""Makes a plan from the options: every check in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, cast

from model.config import ConfigError, TrialConfig
from model.data.data_warnings import RowHashes
from model.data.source import DataSource, DataSummary, inspect
from tuner.artifacts import store as stores
from tuner.config import run_folder
from tuner.config.budget import Budget
from tuner.config.objective import MEAN, OWN_MEAN, Objective
from tuner.config.options import Options, problems_of, storage_of, tracking_uri_of, with_absolute_files
from tuner.config.requirements import Requirements
from tuner.results import environment
from tuner.search.controls import controls_for
from tuner.search.plan import checks, resolve, resumption
from tuner.search.plan.plan import Plan
from tuner.search.plan.samples import arms_of, draw, tasks_of
from tuner.search.preflight import estimate
from tuner.search.warm_start import select
from tuner.space import Space, void_notes
from tuner.study import PRUNERS, SAMPLERS, probe

T = TypeVar("T")


def make(options: Options, *, has_gpu: bool | None = None) -> Plan:
    """Check the options against each other and the data. Raises `ConfigError` with every problem; writes nothing."""
    has_gpu = environment.has_gpu() if has_gpu is None else has_gpu
    problems = Problems()
    check, get = problems.check, problems.get
    check(problems_of, options)
    check(checks.placement_problems, options)
    check(checks.store_problems, options)
    source = get(DataSource.parse, options.data)
    whole = get(resolve.space_of, options, has_gpu)
    run_dir = get(resolve.run_dir_of, options)
    wanted = get(resolve.wanted_tasks, options)
    budget = get(resolve.budget_of, options)
    named = get(resolve.named_by, options)
    shape = get(resolve.shape_of, options, whole, has_gpu)
    choices = get(resolve.choices_of, options, named, whole)
    targets = get(_targets, whole, wanted)
    objective = get(_objective, options, whole, targets)
    requirements = get(Requirements.parse, options.require, targets)
    check(checks.goal_problems, objective, requirements, choices)
    check(checks.step_problems, whole, choices)
    check(Budget.problems, budget, shape)
    check(checks.price_problems, options, shape)
    check(checks.target_problems, budget, objective)
    tracking_uri = get(tracking_uri_of, options, run_dir)
    storage = get(storage_of, options, run_dir)
    get(probe, storage if options.storage is not None else None)  # the default storage is in a folder that does not exist yet
    check(resumption.problems, options if options.resume else None, run_dir, storage, tracking_uri)
    store = get(stores.checked, options.storage_path)
    restricted = get(_restrict, whole, wanted, objective, requirements)
    samples = get(lambda pair: draw(pair[0]), restricted)
    check(checks.uniformity_problems, samples)
    check(checks.watch_problems, objective, requirements, samples)
    check(checks.backbone_problems, samples)
    hashes = RowHashes()
    count_rows = partial(inspect, skip_bad_rows=options.skip_bad_rows, arms=arms_of(samples or ()), observe=hashes.add)
    summary = get(count_rows, source, targets if samples is None else tasks_of(samples))
    sources = get(resolve.sources_of, options, run_dir, choices, tracking_uri)
    problems.raise_any()

    space, left_out = restricted
    pruner, reason = (choices.pruner, None) if choices.pruner else resolve.default_pruner(samples, summary)
    needs_controls = requirements.transfer is not None
    alone = controls_for(space, tasks_of(samples), options.seed, summary, shape.n_workers) if needs_controls else ()
    check(checks.training_problems, (*samples, *(control.config for control in alone)), summary, shape)
    problems.raise_any()
    confirmation = resolve.confirmation_of(options, space, shape, choices.n_trials)
    if confirmation is not None and confirmation.default is not None:
        of_default = checks.training_problems((confirmation.default,), summary, shape)
        if of_default:
            confirmation = replace(confirmation, default=None, without_default="; ".join(of_default))
    remembers = SAMPLERS[choices.sampler].history and len(objective.goals) == 1 and not requirements.texts
    history = partial(select, sources, space, objective, summary.sha256, choices.n_trials, remembers=remembers)
    warm_start = history() if sources else None
    notes = [reason] if reason else []
    notes += [*left_out, *_notes(objective, requirements, choices, samples, summary)]
    if confirmation is not None and confirmation.without_default is not None:
        notes.append(f"the confirmation has no untuned default: {confirmation.without_default}")
    notes += [*void_notes(space), *(warm_start.sentences() if warm_start else ())]
    return Plan(
        options=replace(with_absolute_files(options), storage_path=store.url if store else None),  # for --resume
        run_dir=run_dir,
        study_name=run_folder.study_name(run_dir),
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
        notes=tuple(notes),
        data_warnings=hashes.warnings(),
    )


@dataclass
class Problems:
    """Collects the problems of many checks. A check with an argument that is None, as failed ones give, is skipped."""

    sentences: list[str] = field(default_factory=list)

    def get(self, step: Callable[..., T], *arguments: object) -> T:
        """The value of `step(*arguments)`, a function that raises `ConfigError`.

        Where it raises or is skipped, the value is None in spite of its type: before `raise_any`, use it only as an argument
        of other checks.
        """
        if any(argument is None for argument in arguments):
            return cast(T, None)
        try:
            return step(*arguments)
        except ConfigError as error:
            self.sentences.extend(error.problems)
            return cast(T, None)

    def check(self, rule: Callable[..., list[str]], *arguments: object) -> None:
        """Add the sentences of `rule(*arguments)`."""
        self.sentences.extend(self.get(rule, *arguments) or ())

    def raise_any(self) -> None:
        """Raise `ConfigError` with all sentences, if there are any."""
        if self.sentences:
            raise ConfigError(list(dict.fromkeys(self.sentences)))


def _targets(space: Space, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(task for task in space.targets if task in wanted)


def _objective(options: Options, space: Space, targets: tuple[str, ...]) -> Objective:
    """The metric; `mean` is taken over those of the space's targets that `--tasks` leaves."""
    name = options.metric or space.metric
    return Objective(name, targets if MEAN in name.split(",") else ())


def _restrict(
    space: Space, wanted: tuple[str, ...], objective: Objective, requirements: Requirements
) -> tuple[Space, list[str]]:
    """The space without mixtures that have unwanted tasks or lack required ones, and a note on each."""
    required = dict.fromkeys((*objective.required_tasks, *requirements.required_tasks))
    return space.restrict(tasks=wanted, required=tuple(required))


def _notes(
    objective: Objective,
    requirements: Requirements,
    choices: resolve.Choices,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
) -> list[str]:
    """Sentences on the metric, the sampler, the pruner and the data that need no action."""
    notes = []
    if objective.name == OWN_MEAN and len({sample.mixture for sample in samples}) > 1:
        notes.append("the score is the mean over a trial's own tasks: compare only trials of the same mixture")
    if requirements.texts and not SAMPLERS[choices.sampler].constraints:
        able = ", ".join(name for name, sampler in SAMPLERS.items() if sampler.constraints)
        notes.append(f"the sampler {choices.sampler} does not look at the requirements; {able} do")
    if choices.pruner and PRUNERS[choices.pruner].promotes:
        size = estimate.checkpoint_bytes(samples[0].backbone)
        about = "" if size is None else f" of about {size / 1e9:.1f} GB"
        notes.append(f"each paused trial keeps a checkpoint{about} in the run's folder until it is promoted or pruned")
    return notes + [f"{task}: {count} bad row(s) left out" for task, count in summary.skipped.items() if count]
