"""Derives what the doctor checks from the options of a search, as far as possible when some options are invalid."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig, parse
from tuner.commands.doctor.finding import Finding, failed, passed
from tuner.config.options import Options, storage_of, tracking_uri_of
from tuner.results import environment
from tuner.search import plan
from tuner.space import Space

SAMPLED = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """The parts of a search that nodes, stores and ranks are checked for; None where they are unknown."""

    options: Options
    plan: plan.Plan | None
    """None when the options have problems; the rest is then known from single options."""
    run_dir: Path
    """Its parent is the folder of runs, which all nodes share."""
    storage: str | None
    tracking_uri: str | None
    shape: GangShape | None
    config: TrialConfig | None
    """A typical configuration of the space, with SMART if possible."""


def subject(options: Options) -> tuple[Subject, list[Finding]]:
    """The subject of these options, and the findings about them."""
    has_gpu = environment.has_gpu()
    planned = None
    try:
        planned = plan.make(options, has_gpu=has_gpu)
        rows = ", ".join(f"{task} {splits['train']}" for task, splits in planned.summary.rows.items())
        findings = [passed("options", f"a search of {planned.space.name} can be planned; training rows: {rows}")]
    except ConfigError as error:
        findings = [failed("options", problem) for problem in error.problems]
    folder = Path(options.runs_dir).expanduser().absolute() / (options.resume or options.name or "run")
    run_dir = planned.run_dir if planned else folder
    space = _attempt(plan.space_of, options, has_gpu)
    checked = Subject(
        options=options,
        plan=planned,
        run_dir=run_dir,
        storage=_attempt(storage_of, options, run_dir),
        tracking_uri=_attempt(tracking_uri_of, options, run_dir),
        shape=_attempt(plan.shape_of, options, space, has_gpu),
        config=typical(planned.samples) if planned else _attempt(_typical_of, space),
    )
    return checked, findings


def typical(samples: Sequence[TrialConfig]) -> TrialConfig:
    """The configuration of median ε among those with SMART and the most tasks; without SMART the first one."""
    smooth = [sample for sample in samples if sample.smart.is_smoothing]
    most = max((len(sample.mixture) for sample in smooth), default=0)
    ordered = sorted((s for s in smooth if len(s.mixture) == most), key=lambda sample: sample.smart.epsilon)
    return ordered[len(ordered) // 2] if ordered else samples[0]


def _typical_of(space: Space) -> TrialConfig:
    rng = random.Random(0)
    return typical([parse(space.sample(rng)) for _ in range(SAMPLED)])


def _attempt(step: Callable[..., T], *arguments: object) -> T | None:
    """`step(*arguments)`, or None when it fails or an argument is None."""
    try:
        return None if any(argument is None for argument in arguments) else step(*arguments)
    except ConfigError:
        return None
