"""Derives what the doctor checks from the options of a search, as far as possible when some options are invalid."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig, parse
from model.data.source import DataSource
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

    run_dir: Path
    storage: str | None
    tracking_uri: str | None
    shape: GangShape | None
    config: TrialConfig | None
    """A typical configuration of the space, with SMART if possible."""
    skip_bad_rows: bool
    max_concurrent: int | None
    source: DataSource | None = None
    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    data_sha256: str | None = None
    """Of the data as the driver reads them."""

    @property
    def runs_dir(self) -> Path:
        """The folder of runs, which all nodes share."""
        return self.run_dir.parent


def subject(options: Options) -> tuple[Subject, list[Finding]]:
    """The subject of these options, and the findings about them."""
    runs_dir = Path(options.runs_dir).expanduser().absolute()
    try:
        planned = plan.make(options)
    except ConfigError as error:
        findings = [failed("options", problem) for problem in error.problems]
        return _partial(options, runs_dir), findings
    checked = Subject(
        run_dir=planned.run_dir,
        storage=planned.storage,
        tracking_uri=planned.tracking_uri,
        shape=planned.shape,
        config=typical(planned.samples),
        source=planned.source,
        tasks=planned.tasks,
        arms=planned.arms,
        skip_bad_rows=options.skip_bad_rows,
        data_sha256=planned.summary.sha256,
        max_concurrent=options.max_concurrent,
    )
    rows = ", ".join(f"{task} {splits['train']}" for task, splits in planned.summary.rows.items())
    return checked, [passed("options", f"a search of {planned.space.name} can be planned; training rows: {rows}")]


def typical(samples: tuple[TrialConfig, ...]) -> TrialConfig:
    """The configuration of median ε among those with SMART and the most tasks; without SMART the first one."""
    smooth = [sample for sample in samples if sample.smart.is_smoothing]
    most = max((len(sample.mixture) for sample in smooth), default=0)
    ordered = sorted((s for s in smooth if len(s.mixture) == most), key=lambda sample: sample.smart.epsilon)
    return ordered[len(ordered) // 2] if ordered else samples[0]


def _typical_of(space: Space) -> TrialConfig:
    rng = random.Random(0)
    return typical(tuple(parse(space.sample(rng)) for _ in range(SAMPLED)))


def _attempt(step: Callable[..., T], *arguments: object) -> T | None:
    """`step(*arguments)`, or None when it fails or an argument is None."""
    try:
        return None if any(argument is None for argument in arguments) else step(*arguments)
    except ConfigError:
        return None


def _partial(options: Options, runs_dir: Path) -> Subject:
    """The parts that are known from single options when no plan can be made from all of them."""
    has_gpu = environment.has_gpu()
    space: Space | None = _attempt(plan.space_of, options, has_gpu)
    folder = runs_dir / (options.resume or options.name or "run")
    return Subject(
        run_dir=folder,
        storage=_attempt(storage_of, options, folder),
        tracking_uri=_attempt(tracking_uri_of, options, folder),
        shape=_attempt(plan.shape_of, options, space, has_gpu),
        config=_attempt(_typical_of, space),
        skip_bad_rows=options.skip_bad_rows,
        max_concurrent=options.max_concurrent,
    )
