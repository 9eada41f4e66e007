"""Sampler, pruner and number of trials: the command line's, else the space's, else the default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.config import ConfigError, nearest
from tuner.config.options import Options
from tuner.search.warm_start import earlier
from tuner.search.warm_start.earlier import Source
from tuner.space import Space
from tuner.study import PRUNERS, SAMPLERS

DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class Choices:
    """The command line's, else the space's, else the default."""

    sampler: str
    pruner: str | None
    """None where neither names one: it follows from the size of early evaluations (pruner.py)."""
    n_trials: int


def named_by(options: Options) -> dict[str, str | None]:
    """Sampler and pruner as the command line names them."""
    valid = {"sampler": list(SAMPLERS), "pruner": list(PRUNERS)}
    given = {name: getattr(options, name) for name in valid}
    problems = [
        f"--{name.replace('_', '-')} {given[name]}{nearest(given[name], names)}: choose one of {', '.join(names)}"
        for name, names in valid.items()
        if given[name] is not None and given[name] not in names
    ]
    if problems:
        raise ConfigError(problems)
    return given


def choices_of(options: Options, named: dict[str, str | None], space: Space) -> Choices:
    return Choices(
        sampler=named["sampler"] or space.options.get("sampler") or "tpe",
        pruner=named["pruner"] or space.options.get("pruner"),
        n_trials=options.trials or space.options.get("trials") or DEFAULT_TRIALS,
    )


def sources_of(options: Options, run_dir: Path, choices: Choices, tracking_uri: str) -> tuple[Source, ...]:
    """The sources of `--warm-start`; those of a run that is gone on with are in its folder."""
    if not options.warm_start:
        return ()
    if choices.sampler == "grid":
        raise ConfigError(["--warm-start with the sampler grid: a grid tries every point anyway; use another sampler"])
    kept = earlier.load(run_dir) if options.resume is not None else None
    return kept if kept is not None else earlier.read_all(options.warm_start, run_dir.parent, tracking_uri)
