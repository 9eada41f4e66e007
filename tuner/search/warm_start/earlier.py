"""Trials of earlier searches, as a run's results.json or an MLflow experiment has them, and their copy in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_origin

from model.config import ConfigError, field_names, nearest
from tuner.results import results_json as results
from tuner.space.parameters import nest

FILE_NAME = "warm_start.json"
"""Where a run keeps what it was started from: a resumed search needs neither the option nor the earlier run."""


@dataclass(frozen=True)
class EarlierTrial:
    """A trial as it was recorded, of this version of the project or an older one."""

    number: int
    state: str
    """COMPLETE, PRUNED, or another, which says nothing about the configuration's score."""
    config: Mapping[str, Any]
    """Nested settings by the names of that time."""
    metrics: Mapping[str, float | None]
    """`task/metric` at the last evaluation made."""
    n_evaluations: int
    """Evaluations made."""
    data_sha256: str
    """What it was measured on; empty where that is not known."""


@dataclass(frozen=True)
class Source:
    """The trials behind one `--warm-start`."""

    name: str
    trials: tuple[EarlierTrial, ...]


def read_all(given: Sequence[str], runs_dir: Path, tracking_uri: str) -> tuple[Source, ...]:
    """The source behind each name: a run where there is one, else an MLflow experiment. Raises `ConfigError`."""
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

    folder = run_folder(name, runs_dir)
    if folder is not None:
        return from_run(folder)
    try:
        runs = read_experiment(tracking_uri, name)
    except ConnectionError as error:
        raise ConfigError([f"there is no such run in {runs_dir}, and MLflow does not answer: {error}"]) from None
    if runs is None:
        raise ConfigError([unknown(name, runs_dir, tracking_uri)])
    return from_experiment(name, runs)


def run_folder(given: str, runs_dir: Path) -> Path | None:
    """The folder of the run called `given` in `runs_dir`, or at that path; None where there is no such folder."""
    candidates = (runs_dir / given, Path(given).expanduser())
    return next((folder for folder in candidates if folder.is_dir()), None)


def from_run(folder: Path) -> Source:
    """The trials of the results.json in a run's folder. Raises `ConfigError` where there is none that can be read."""
    found = results.read(folder / results.FILE_NAME)
    trials = [trial for trial in found["trials"] if trial.get("same_as") is None]  # a repeat measured nothing
    return Source(str(found["name"]), tuple(_from_results(trial, found["data"]["sha256"] or "") for trial in trials))


def _from_results(trial: Mapping[str, Any], sha256: str) -> EarlierTrial:
    evaluations = trial["evaluations"]
    return EarlierTrial(trial["number"], trial["state"], trial["config"], trial["metrics"], len(evaluations), sha256)


def from_experiment(name: str, runs: Sequence[Mapping[str, Any]]) -> Source:
    """The trials of an MLflow experiment: `runs` have the `params`, `metrics` and `tags` of one nested run each."""
    trials = [_from_mlflow(number, run["params"], run["metrics"], run["tags"]) for number, run in enumerate(runs)]
    return Source(name, tuple(trials))


def _from_mlflow(number: int, params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str]) -> EarlierTrial:
    return EarlierTrial(
        number=number,
        state=tags.get("state", "RUNNING"),
        config=nest({name: _value(name, text) for name, text in params.items()}),
        metrics=metrics,
        n_evaluations=round(metrics.get("evaluation", 0.0)),
        data_sha256=tags.get("data_sha256", ""),
    )


def _value(name: str, text: str) -> Any:
    """A parameter as MLflow keeps it: text, which `TrialConfig` reads as it is, but for lists, which commas join."""
    setting = field_names().get(name)
    if setting is None or not _is_list(setting.annotation):
        return text
    return text.split(",") if text else []


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def unknown(given: str, runs_dir: Path, tracking_uri: str) -> str:
    """The sentence for a name that is neither a run nor an experiment."""
    runs = sorted(path.parent.name for path in runs_dir.glob(f"*/{results.FILE_NAME}"))
    there = f"the runs there are {', '.join(runs)}" if runs else "there are no finished runs there"
    return (
        f"--warm-start {given}: neither a run in {runs_dir}{nearest(given, runs)} nor an MLflow experiment of {tracking_uri}; "
        f"{there}, and --tracking-uri names another store"
    )


def save(sources: Sequence[Source], folder: Path) -> None:
    """Keep the sources in a run's folder. Raises OSError."""
    results.write(folder / FILE_NAME, {"sources": [asdict(source) for source in sources]})


def load(folder: Path) -> tuple[Source, ...] | None:
    """The sources that a run was started from; None where it keeps none. Raises `ConfigError` when they cannot be read."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["sources"]
        return tuple(Source(source["name"], tuple(EarlierTrial(**trial) for trial in source["trials"])) for source in kept)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            [f"cannot read {path}, what the search was warm-started from: {error}; begin a new search with --warm-start"]
        ) from None
