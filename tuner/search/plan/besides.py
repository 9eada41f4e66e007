"""What is trained besides the trials: controls before the first of them, finalists after the last."""

from __future__ import annotations

from dataclasses import replace

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig
from model.data.source import DataSummary
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.search.confirmation.finalists import N_ON_CPU, N_ON_GPU, Asked, asked
from tuner.search.controls.control import Control, controls
from tuner.search.plan.samples import check_samples, tasks_of
from tuner.space import Space


def controls_of(
    options: Options,
    requirements: Requirements,
    space: Space,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
    shape: GangShape,
) -> tuple[Control, ...]:
    if requirements.transfer is None:
        return ()
    return controls(space, tasks_of(samples), options.seed, summary, shape.n_workers)


def confirmation_of(options: Options, space: Space, summary: DataSummary, shape: GangShape, *, n_trials: int) -> Asked | None:
    """The finalists, as many as there can be trials; a default that cannot run on these data is none."""
    usual = N_ON_GPU if shape.gpus_per_worker else N_ON_CPU
    n_finalists = options.finalists if options.finalists is not None else space.options.get("finalists", usual)
    n_seeds = options.seeds if options.seeds is not None else space.options.get("seeds", usual)
    found = asked(space, options.seed, min(n_finalists, n_trials), n_seeds)
    if found is None or found.default is None:
        return found
    try:
        check_samples((found.default,), summary, shape)
    except ConfigError as error:
        return replace(found, default=None, without_default="; ".join(error.problems))
    return found
