"""Describes a plan for `--dry-run`, without measuring; `tuner.search.preflight` adds its forecast."""

from __future__ import annotations

import statistics

from model.smart.config import cost_in_plain_steps
from tuner.artifacts.addresses import mask_credentials
from tuner.config.budget import trials_in_words
from tuner.results.text import duration
from tuner.search.controls import FOLDER, Cache
from tuner.search.plan import Plan
from tuner.search.preflight import estimate


def describe(plan: Plan) -> str:
    """The plan in lines."""
    lines = [
        f"search     {plan.name}: space {plan.space.name}, profile {plan.space.profile or 'none'}",
        f"data       {plan.summary.describe()}, sha256 {plan.summary.sha256[:12]}",
        *(
            f"           {task}: {splits['train']} train, {splits['select']} select, {splits['dev']} dev"
            for task, splits in plan.summary.rows.items()
        ),
        f"score      {plan.objective.describe()} on select, at the last of {plan.n_evaluations} evaluations",
        *(f"required   {text}" for text in plan.requirements.texts),
        *_controls(plan),
        f"trials     {trials_in_words(plan.n_trials, plan.max_trials)}, sampler {plan.sampler}, pruner {plan.pruner}",
        *_confirmation(plan),
        f"budget     {plan.budget_in_words}",
        f"bundles    {plan.shape.describe()} for each trial, packed on one node; backbone {plan.samples[0].backbone}",
        *_cost(plan),
        f"folder     {plan.run_dir}",
        f"optuna     {mask_credentials(plan.storage)}",
        f"mlflow     {mask_credentials(plan.tracking_uri)}",
    ]
    return "\n".join([*lines, *(f"note       {note}" for note in (*plan.data_sentences, *plan.notes))])


def _controls(plan: Plan) -> list[str]:
    """The line on the single-task controls."""
    if not plan.controls:
        return []
    cache = Cache(plan.run_dir.parent / FOLDER)
    tasks = [control.task + (" (in the cache)" if cache.get(control) else "") for control in plan.controls]
    return [f"controls   {', '.join(tasks)}: each trained alone first, untuned and without SMART; they are no trials"]


def _confirmation(plan: Plan) -> list[str]:
    """The line on the confirmation."""
    if plan.confirmation is None:
        return []
    n = plan.n_confirming
    return [f"then       the confirmation: {plan.confirmation.describe()}, {n} trainings more at full budget"]


def _cost(plan: Plan) -> list[str]:
    """The work of a typical trial in plain examples, and the estimated time of the search without a preflight."""
    work = [
        sum(estimate.training_examples(sample, plan.summary).values()) * cost_in_plain_steps(sample.smart)
        for sample in plan.samples
    ]
    typical, most = statistics.median(work), max(work)
    lines = [f"a trial    as much training as {typical:,.0f} plain examples (median of the space; {most:,.0f} at most)"]
    if not plan.options.no_preflight:
        return lines
    n_parameters = estimate.layer_parameters(plan.samples[0].backbone)
    if n_parameters is None or plan.shape.gpus_per_worker:
        return [*lines, "time       not known before a step is measured: the backbone is not here, or a GPU will run it"]
    typical_flops = statistics.fmean(estimate.flops(sample, plan.summary, n_parameters) for sample in plan.samples)
    confirming = plan.n_confirming * typical_flops
    total = plan.n_trials * typical_flops + confirming
    total += sum(estimate.flops(control.config, plan.summary, n_parameters) for control in plan.controls)
    rate = estimate.matmul_rate()
    best, worst = (duration(total / (rate * efficiency)) for efficiency in estimate.EFFICIENCY)
    share = f", {100 * confirming / total:.0f} % of it for the confirmation" if confirming else ""
    return [
        *lines,
        f"time       {best} to {worst} on this machine ({rate / 1e9:.0f} GFLOP/s measured now){share}",
    ]
