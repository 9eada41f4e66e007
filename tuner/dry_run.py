"""What `--dry-run` prints: the plan, and what it will cost, without starting anything."""

from __future__ import annotations

import statistics

from model import mixing
from model.config import TrialConfig
from model.cost import cost_in_plain_steps
from tuner.plan import Plan


def describe(plan: Plan) -> str:
    """The plan in lines."""
    gpus = plan.shape.gpus_per_worker * plan.shape.n_workers
    work = [examples(sample, plan) * cost_in_plain_steps(sample.smart) for sample in plan.samples]
    typical, most = statistics.median(work), max(work)
    lines = [
        f"search     {plan.name}: space {plan.space.name}, profile {plan.space.profile or 'none'}",
        f"data       {plan.summary.describe()}, sha256 {plan.summary.sha256[:12]}",
        *(
            f"           {task}: {splits['train']} train, {splits['select']} select, {splits['dev']} dev"
            for task, splits in plan.summary.rows.items()
        ),
        f"score      {plan.objective.describe()} on select, at the last of {plan.n_evaluations} evaluations",
        f"trials     {plan.n_trials} in total, sampler {plan.sampler}, pruner {plan.pruner}",
        f"bundles    {plan.shape.describe()} for each trial, packed on one node; backbone {plan.samples[0].backbone}",
        f"a trial    {typical:,.0f} examples' worth of plain training (median of the space), {most:,.0f} at most",
        f"the search {typical * plan.n_trials:,.0f} examples' worth if nothing is pruned"
        + (f", on {gpus:g} GPU(s) a trial" if gpus else ""),
        f"folder     {plan.run_dir}",
        f"studies    Optuna in {plan.storage}, MLflow in {plan.tracking_uri}",
    ]
    return "\n".join([*lines, *(f"note       {note}" for note in plan.notes)])


def examples(config: TrialConfig, plan: Plan) -> int:
    """Training examples that a configuration sees."""
    sizes = {task: plan.summary.rows[task]["train"] for task in config.mixture}
    steps = mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)
    per_step = len(config.mixture) if config.mixing.strategy == "loop_to_max" else 1
    return steps * config.optim.batch_size * per_step
