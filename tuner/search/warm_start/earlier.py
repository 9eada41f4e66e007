"""Reads trials of earlier searches from results.json or an MLflow experiment, and keeps a copy in the new run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_origin

from model.config import ConfigError, field_names, nearest
from model.file_contents import read_json
from tuner.results import results_json as results
from tuner.space.parameters import nest

FILE_NAME = "warm_start.json"
"""The copy in a run's folder: a resumed search needs neither the option nor the earlier run."""


@dataclass(frozen=True)
class EarlierTrial:
    """A recorded trial, of this or an older version of the project."""

    number: int
    state: str
    """COMPLETE and PRUNED trials have a usable score, others not."""
    config: Mapping[str, Any]
    """Nested settings, with the names of that version."""
    metrics: Mapping[str, float | None]
    """`task/metric` at the last evaluation."""
    n_evaluations: int
    data_sha256: str
    """Of the data; empty where unknown."""


@dataclass(frozen=True)
class Source:
    """The trials of one `--warm-start`."""

    name: str
    trials: tuple[EarlierTrial, ...]


@dataclass(frozen=True)
class _Kept:
    """The contents of the copy."""

    sources: tuple[Source, ...]


def read_all(given: Sequence[str], runs_dir: Path, tracking_uri: str) -> tuple[Source, ...]:
    """The source of each name: a run where there is one, else an MLflow experiment. Raises `ConfigError`."""
    sources, problems = [], []
    for name in dict.fromkeys(given):
        try:
            sources.append(_read(name, runs_dir, tracking_uri))
        except ConfigError as error:
            problems += [
                problem if problem.startswith("--warm") else f"--warm-start {name}: {problem}" for problem in error.problems
            ]
    if problems:
        raise ConfigError(problems)
    return tuple({source.name: source for source in sources}.values())


def _read(name: str, runs_dir: Path, tracking_uri: str) -> Source:
    from tuner.tracking.mlflow import read_experiment

    for folder in (runs_dir / name, Path(name).expanduser()):
        if folder.is_dir():
            return from_run(folder)
    try:
        runs = read_experiment(tracking_uri, name)
    except ConnectionError as error:
        raise ConfigError([f"there is no such run in {runs_dir}, and MLflow does not answer: {error}"]) from None
    if runs is None:
        present = sorted(path.parent.name for path in runs_dir.glob(f"*/{results.FILE_NAME}"))
        listed = f"the runs there are {', '.join(present)}" if present else "there are no finished runs there"
        raise ConfigError(
            [
                f"--warm-start {name}: neither a run in {runs_dir}{nearest(name, present)} nor an MLflow experiment of "
                f"{tracking_uri}; {listed}, and --tracking-uri names another store"
            ]
        )
    return from_experiment(name, runs)


def from_run(folder: Path) -> Source:
    """The trials in a run's results.json. Raises `ConfigError` where it cannot be read."""
    contents = results.read(folder / results.FILE_NAME)
    trials = [
        EarlierTrial(
            number=trial["number"],
            state=trial["state"],
            config=trial["config"],
            metrics=trial["metrics"],
            n_evaluations=len(trial["evaluations"]),
            data_sha256=contents["data"]["sha256"] or "",
        )
        for trial in contents["trials"]
        if trial.get("same_as") is None  # a repeat was not trained
    ]
    return Source(str(contents["name"]), tuple(trials))


def from_experiment(name: str, runs: Sequence[Mapping[str, Any]]) -> Source:
    """The trials of an MLflow experiment: each of `runs` has the `params`, `metrics` and `tags` of a nested run."""
    trials = [
        EarlierTrial(
            number=number,
            state=run["tags"].get("state", "RUNNING"),
            config=nest({setting: _value(setting, text) for setting, text in run["params"].items()}),
            metrics=run["metrics"],
            n_evaluations=round(run["metrics"].get("evaluation", 0.0)),
            data_sha256=run["tags"].get("data_sha256", ""),
        )
        for number, run in enumerate(runs)
    ]
    return Source(name, tuple(trials))


def _value(name: str, text: str) -> Any:
    """The value of an MLflow parameter: a list where the setting is one, else the text, which `TrialConfig` parses."""
    setting = field_names().get(name)
    if setting is None or get_origin(setting.annotation) is not tuple:
        return text
    return text.split(",") if text else []


def save(sources: Sequence[Source], folder: Path) -> None:
    """Write the sources to a run's folder. Raises OSError."""
    results.write(folder / FILE_NAME, {"sources": [asdict(source) for source in sources]})


def load(folder: Path) -> tuple[Source, ...] | None:
    """The sources in a run's folder; None where there are none. Raises `ConfigError` when they cannot be read."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    return read_json(path, _Kept, "begin a new search with --warm-start").sources
