"""Earlier results for a new search (`--warm-start`): reads them from results.json or an MLflow experiment, keeps a copy in the
run's folder, maps them into the search's space, and selects the usable ones.

`select` is a pure function of the trials, the space, the metric and the data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_origin

from model.config import ConfigError, field_names, nearest
from model.data.file_contents import read_json
from tuner.config.objective import Objective
from tuner.results import results_json as results
from tuner.space import Space
from tuner.space.mapping import Mapped, UnmappableError, map_config
from tuner.space.parameters import nest
from tuner.study.samplers.history import EarlierPoint, History

FILE_NAME = "warm_start.json"
"""The copy in a run's folder: a resumed search needs neither the option nor the earlier run."""
MOST_STARTS = 3
"""Largest number of earlier configurations that are tried first, which bounds the cost of a misleading history."""


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
            problems += [f"--warm-start {name}: {problem}" for problem in error.problems]
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
        nowhere = f"neither a run in {runs_dir}{nearest(name, present)} nor an MLflow experiment of {tracking_uri}"
        raise ConfigError([f"{nowhere}; {listed}, and --tracking-uri names another store"])
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


@dataclass(frozen=True)
class Used:
    """An earlier trial that maps into this search's space, with its score."""

    source: str
    trial: EarlierTrial
    mapped: Mapped
    score: float
    """By this search's metric."""
    apart: str
    """Why the score cannot be compared with this search's, as a clause after "because"; empty where it can."""

    @property
    def remembered(self) -> EarlierPoint:
        """The trial as the sampler uses it."""
        trial, mapped = self.trial, self.mapped
        return EarlierPoint(mapped.picks, mapped.distributions, trial.state == "COMPLETE", self.score, trial.n_evaluations)


@dataclass(frozen=True)
class WarmStart:
    """What a search takes from earlier ones."""

    sources: tuple[Source, ...]
    used: tuple[Used, ...]
    dropped: tuple[tuple[str, str], ...]
    """Source and reason of each earlier trial that is not used."""
    history: History

    def sentences(self) -> list[str]:
        """A sentence for each source: how many trials are used, and why the others are not."""
        sentences = []
        for source in self.sources:
            used, dropped = self._of(source)
            apart = Counter(one.apart for one in used if one.apart)
            only = "".join(f"; {count} as start configurations only, because {why}" for why, count in apart.most_common())
            rest = "".join(f"; {count} {reason}" for reason, count in dropped.most_common())
            n_trials = f"{len(used)} of {len(source.trials)} trials"
            sentences.append(f"warm start: {n_trials} of {source.name} can be used{only}{rest}")
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """`warm_start` of results.json, without what is known only after the search."""
        sources = []
        for source in self.sources:
            used, dropped = self._of(source)
            numbers = {"trials": len(source.trials), "used": len(used), "compared": sum(not one.apart for one in used)}
            sources.append({"name": source.name} | numbers | {"dropped": dict(dropped)})
        return {"sources": sources, "sentences": self.sentences()}

    def _of(self, source: Source) -> tuple[list[Used], Counter[str]]:
        """A source's used trials, and its dropped ones counted by reason."""
        used = [one for one in self.used if one.source == source.name]
        return used, Counter(reason for name, reason in self.dropped if name == source.name)


def select(
    sources: Sequence[Source], space: Space, objective: Objective, data_sha256: str, n_trials: int, *, remembers: bool
) -> WarmStart:
    """Map the trials of all sources into `space` and sort them by their use.

    A score is compared only if it was measured on the same data, with the same configuration in every relevant setting.
    `remembers` is false where the sampler, the goals or the requirements make earlier scores useless. Raises `ConfigError` for
    a source without a usable trial.
    """
    used: list[Used] = []
    dropped: list[tuple[str, str]] = []
    for source in sources:
        for trial in source.trials:
            try:
                used.append(_use(source.name, trial, space, objective, data_sha256))
            except UnmappableError as error:
                dropped.append((source.name, str(error)))
    remembered = [one.remembered for one in used if remembers and not one.apart]
    history = History(_starts(used, n_trials), tuple(remembered))
    warm_start = WarmStart(tuple(sources), tuple(used), tuple(dropped), history)
    names = {one.source for one in used}
    useless = [text for text, source in zip(warm_start.sentences(), sources, strict=True) if source.name not in names]
    if useless:
        raise ConfigError(useless)
    return warm_start


def _use(source: str, trial: EarlierTrial, space: Space, objective: Objective, data_sha256: str) -> Used:
    """The use of a trial; raises `UnmappableError` with the reason where it has none."""
    if trial.state not in ("COMPLETE", "PRUNED"):
        raise UnmappableError("failed or never ended")
    metrics = {name: value for name, value in trial.metrics.items() if value is not None}
    missing = [name for name in objective.metrics if name not in metrics]
    if missing or not metrics:
        missing = missing or ["any metric"]
        raise UnmappableError(f"did not measure {' and '.join(missing)}")
    score = objective.score(metrics)
    if not math.isfinite(score):
        raise UnmappableError("have no finite score")
    mapped = map_config(space, trial.config)
    apart = f"they differ in {', '.join(mapped.differs)}" if mapped.differs else ""
    if trial.data_sha256 != data_sha256:
        apart = "they were measured on other data"
    return Used(source, trial, mapped, score, apart)


def _starts(used: Sequence[Used], n_trials: int) -> tuple[dict[str, Any], ...]:
    """The configurations to try first: the best complete ones, taken in turn from each group with comparable scores.

    Their number is at most a quarter of the search and at most `MOST_STARTS`.
    """
    kinds: dict[tuple[str, str, str], list[Used]] = {}
    for one in used:
        if one.trial.state == "COMPLETE":
            kind = (one.source, one.trial.data_sha256, one.apart) if one.apart else ("", "", "")
            kinds.setdefault(kind, []).append(one)
    ranked = [sorted(kind, key=lambda one: -one.score) for kind in (kinds[key] for key in sorted(kinds))]
    starts: list[dict[str, Any]] = []
    for one in (one for row in zip_longest(*ranked) for one in row if one is not None):
        if dict(one.mapped.picks) not in starts:
            starts.append(dict(one.mapped.picks))
    return tuple(starts[: min(MOST_STARTS, max(1, n_trials // 4))])
