"""Reads a training from a run's record: configuration, results, gang, data and environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig, parse
from model.data.source import SPLITS, DataSource, inspect
from tuner.config import options
from tuner.config.objective import MEAN, OWN_MEAN, Objective, tasks_of
from tuner.results import environment, results_json
from tuner.search.tokenise import DataRequest

ACCUMULATION = re.compile(r"accumulation (\d+) after out of memory")
"""The note of a trial that was restarted with smaller micro-batches."""


@dataclass(frozen=True)
class RecordedTraining:
    """A training in results.json."""

    name: str
    """`trial 3`, or `the champion` when it was trained on another seed."""
    config: TrialConfig
    """As of the end of the training."""
    state: str
    score: float | None
    metrics: Mapping[str, float]
    evaluations: Sequence[Mapping[str, Any]]
    """Empty when the record has the last one only, as `metrics`."""
    reason: str | None

    @property
    def n_evaluations(self) -> int:
        """The evaluation at which it ends."""
        return len(self.evaluations) if self.state == "PRUNED" else self.config.budget.evaluations


def training(results: Mapping[str, Any], number: int | None) -> RecordedTraining:
    """The training of a trial, by default of the champion. Raises `ConfigError` when it does not exist."""
    if number is None:
        return _champion(results)
    trials = {trial["number"]: trial for trial in results["trials"]}
    if number in results.get("unfinished", []):
        raise ConfigError(
            [f"trial {number} of {results['name']} has not ended; resume it with --resume {results['name']} first"]
        )
    if number not in trials:
        ended = ", ".join(map(str, trials)) or "none"
        raise ConfigError([f"{results['name']} has no trial {number}; the trials that ended are {ended}"])
    return _of(f"trial {number}", trials[number])


def _champion(results: Mapping[str, Any]) -> RecordedTraining:
    champion = results["champion"]
    if champion is None:
        ended = ", ".join(str(trial["number"]) for trial in results["trials"])
        advice = f"name one of its trials, {ended}, with --trial" if ended else "none of its trials has ended"
        raise ConfigError([f"{results['name']} has no champion: none of its trials is COMPLETE; {advice}"])
    for trial in results["trials"]:
        if (trial["number"], trial["config"]) == (champion["number"], champion["config"]):
            return _of(f"trial {champion['number']}", trial)
    number = (champion.get("confirmed") or {}).get("training")
    finalists = (results.get("confirmation") or {}).get("finalists", [])
    notes = [each.get("note") for finalist in finalists for each in finalist["trainings"] if each["number"] == number]
    defaults: dict[str, Any] = {"state": "COMPLETE", "reason": None, "evaluations": [], "note": None}
    return _of("the champion", {**defaults, **champion, **({"note": notes[0]} if notes else {})})


def _of(name: str, entry: Mapping[str, Any]) -> RecordedTraining:
    try:
        config = parse(entry["config"])
    except ConfigError as error:
        raise ConfigError([f"{name} was never trained: {problem}" for problem in error.problems]) from None
    match = ACCUMULATION.fullmatch(entry.get("note") or "")
    if match:
        values = config.to_dict()
        config = parse(values | {"optim": values["optim"] | {"accumulation": int(match[1])}})
    names = ("state", "score", "metrics", "evaluations", "reason")
    return RecordedTraining(name=name, config=config, **{key: entry[key] for key in names})


def objective(results: Mapping[str, Any]) -> Objective:
    """The search's objective, from its description."""
    words = str(results["metric"]).partition("; ")[0].removesuffix(" (less is better)")
    mean = re.fullmatch(r"mean\((.+)\)", words)
    if mean:
        return Objective(MEAN, tasks_of(mean[1].split(", ")))
    return Objective(OWN_MEAN if words.startswith("mean over") else words)


def gang(results: Mapping[str, Any], folder: Path) -> GangShape:
    """The ranks of each training; in runs of versions that did not record them, from the options, by default one rank."""
    if results.get("gang"):
        return GangShape(**results["gang"])
    given = options.load(folder)
    gpus = given.gpus_per_worker if given.gpus_per_worker is not None else float(environment.has_gpu())
    return GangShape(given.workers_per_trial or 1, given.cpus_per_worker or 1, gpus)


def data(results: Mapping[str, Any], folder: Path, elsewhere: str | None, config: TrialConfig) -> DataRequest:
    """What a training of `config` reads: the run's data, at the recorded place or `elsewhere`.

    Raises `ConfigError` when their SHA-256 is not the recorded one.
    """
    given = options.load(folder)
    source = DataSource.parse(elsewhere or given.data)
    rows = results["data"]["rows"]
    arms = tuple(dict.fromkeys(split for splits in rows.values() for split in splits if split not in SPLITS))
    summary = inspect(source, tuple(rows), skip_bad_rows=given.skip_bad_rows, arms=arms)
    recorded = results["data"]["sha256"]
    if summary.sha256 != recorded:
        digests = f"the data in {source.text} have the SHA-256 {summary.sha256[:12]}…, those of {results['name']} had"
        raise ConfigError([f"{digests} {recorded[:12]}…; name the data that it was trained on with --data"])
    return DataRequest(source, config.mixture, config.arms, given.skip_bad_rows, config.backbone, config.max_length)


def read(folder: Path) -> dict[str, Any]:
    """results.json of the run in `folder`. Raises `ConfigError`."""
    options.load(folder)
    return results_json.read(folder / results_json.FILE_NAME) | {"name": folder.name}  # it may have been renamed


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The differences between the recorded environment and this one, a line for each."""
    names = here["versions"]
    pairs = {name: (recorded.get("versions", {}).get(name) or "not there", now or "not there") for name, now in names.items()}
    lines = [f"{name} was {then}, and is {now}" for name, (then, now) in pairs.items() if then != now]
    lines += _commits(recorded.get("git"), here["git"])
    then, now = recorded.get("hardware", {}), here["hardware"]
    if then.get("cpu") != now["cpu"]:
        lines.append(f"the processor was {then.get('cpu') or 'not known'}, and is {now['cpu']}")
    if then.get("gpus", []) != now["gpus"]:
        gpus = [", ".join(str(gpu["name"]) for gpu in side.get("gpus", [])) or "none" for side in (then, now)]
        lines.append(f"the GPUs were {gpus[0]}, and are {gpus[1]}")
    return lines


def _commits(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    if then is None or now is None:
        return [] if then == now else ["the commit is not known on both sides"]
    if then["commit"] != now["commit"]:
        return [f"the commit was {then['commit'][:12]}, and is {now['commit'][:12]}"]
    sides = [side for side, git in (("then", then), ("now", now)) if git["dirty"]]
    return [f"the commit is the same, with changes that are not committed {' and '.join(sides)}"] if sides else []
