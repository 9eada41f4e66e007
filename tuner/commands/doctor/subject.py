"""What is to be checked, from the options of a search: as much of it as can be told when some of them are wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig, parse
from model.data.source import DataSource
from tuner.commands.doctor.finding import Finding, failed, passed
from tuner.config.options import Options, storage_of, tracking_uri_of
from tuner.search import plan
from tuner.space import Space

SAMPLED = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """The parts of a search that nodes, stores and ranks are checked for. None where the options do not tell."""

    run_dir: Path
    storage: str | None
    tracking_uri: str | None
    shape: GangShape | None
    config: TrialConfig | None
    """A configuration of the space: with SMART, where it has one."""
    source: DataSource | None
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    skip_bad_rows: bool
    data_sha256: str | None
    """As the driver reads the data."""
    max_concurrent: int | None

    @property
    def runs_dir(self) -> Path:
        """The folder of the runs, which all nodes share."""
        return self.run_dir.parent


def subject(options: Options) -> tuple[Subject, list[Finding]]:
    """The subject of these options, and what is wrong with them."""
    runs_dir = Path(options.runs_dir).expanduser().absolute()
    try:
        planned = plan.make(options)
    except ConfigError as error:
        findings = [failed("options", problem) for problem in error.problems]
        return _guessed(options, runs_dir), findings
    found = Subject(
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
    told = f"a search of {planned.space.name} can be planned; training rows: {rows}"
    return found, [passed("options", told)]


def typical(samples: tuple[TrialConfig, ...]) -> TrialConfig:
    """The configuration of median ε among those with SMART, and of these those of most tasks; any where there is none."""
    smooth = [sample for sample in samples if sample.smart.is_smoothing]
    most = max((len(sample.mixture) for sample in smooth), default=0)
    ordered = sorted((s for s in smooth if len(s.mixture) == most), key=lambda sample: sample.smart.epsilon)
    return ordered[len(ordered) // 2] if ordered else samples[0]


def _typical_of(space: Space) -> TrialConfig:
    rng = random.Random(0)
    return typical(tuple(parse(space.sample(rng)) for _ in range(SAMPLED)))


def _attempt(step: Callable[..., T], *needs: object) -> T | None:
    """`step(*needs)`, or None where it fails or what it needs is None."""
    try:
        return None if any(need is None for need in needs) else step(*needs)
    except ConfigError:
        return None


def _guessed(options: Options, runs_dir: Path) -> Subject:
    """What single options tell, where no plan can be made from all of them."""
    has_gpu = shutil.which("nvidia-smi") is not None
    space: Space | None = _attempt(plan.space_of, options, has_gpu)
    folder = runs_dir / (options.resume or options.name or "run")
    return Subject(
        run_dir=folder,
        storage=_attempt(storage_of, options, folder),
        tracking_uri=_attempt(tracking_uri_of, options, folder),
        shape=_attempt(plan.shape_of, options, space, has_gpu),
        config=_attempt(_typical_of, space),
        source=None,
        tasks=(),
        arms=(),
        skip_bad_rows=options.skip_bad_rows,
        data_sha256=None,
        max_concurrent=options.max_concurrent,
    )
