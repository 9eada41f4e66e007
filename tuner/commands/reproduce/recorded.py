"""What a run's record says of one training, and of where and on what it was done."""

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
from tuner.results import environment
from tuner.results import results_json as results

ACCUMULATION = re.compile(r"accumulation (\d+) after out of memory")
"""The note of a trial that began anew with smaller micro-batches."""


@dataclass(frozen=True)
class Recorded:
    """A training as results.json has it."""

    name: str
    """`trial 3`, or `the champion` where that was trained on a seed of its own."""
    config: TrialConfig
    """As it was trained to its end."""
    state: str
    score: float | None
    metrics: Mapping[str, float]
    evaluations: Sequence[Mapping[str, Any]]
    """Empty where the record keeps the last one alone, as `metrics`."""
    reason: str | None

    @property
    def n_evaluations(self) -> int:
        """The evaluation at which it ends."""
        return len(self.evaluations) if self.state == "PRUNED" else self.config.budget.evaluations


@dataclass(frozen=True)
class Data:
    """The data as recorded, found again and checked."""

    source: DataSource
    skip_bad_rows: bool


def training(found: Mapping[str, Any], number: int | None) -> Recorded:
    """The training of a trial, or of the champion. Raises `ConfigError` where there is none."""
    if number is None:
        return _champion(found)
    trials = {trial["number"]: trial for trial in found["trials"]}
    if number in found.get("unfinished", []):
        raise ConfigError([f"trial {number} of {found['name']} had not ended; go on with --resume {found['name']} first"])
    if number not in trials:
        there = ", ".join(map(str, trials)) or "none"
        raise ConfigError([f"{found['name']} has no trial {number}; the trials that ended are {there}"])
    return _of(f"trial {number}", trials[number])


def _champion(found: Mapping[str, Any]) -> Recorded:
    champion = found["champion"]
    if champion is None:
        ended = ", ".join(str(trial["number"]) for trial in found["trials"])
        mend = f"name one of its trials, {ended}, with --trial" if ended else "none of its trials has ended"
        raise ConfigError([f"{found['name']} has no champion: no trial of it is COMPLETE; {mend}"])
    own = [trial for trial in found["trials"] if trial["number"] == champion["number"]]
    if own and own[0]["config"] == champion["config"]:
        return _of(f"trial {champion['number']}", own[0])
    confirmed = _confirmed(found, champion)
    return _of("the champion", {"state": "COMPLETE", "reason": None, "evaluations": [], "note": None, **champion, **confirmed})


def _confirmed(found: Mapping[str, Any], champion: Mapping[str, Any]) -> dict[str, Any]:
    """The note of the confirmation's training that the champion's model is of."""
    number = (champion.get("confirmed") or {}).get("training")
    each = [one for finalist in (found.get("confirmation") or {}).get("finalists", []) for one in finalist["trainings"]]
    return next(({"note": one.get("note")} for one in each if one["number"] == number), {})


def _of(name: str, entry: Mapping[str, Any]) -> Recorded:
    try:
        config = parse(entry["config"])
    except ConfigError as error:
        raise ConfigError([f"{name} was never trained: {problem}" for problem in error.problems]) from None
    smaller = ACCUMULATION.fullmatch(entry.get("note") or "")
    if smaller:
        values = config.to_dict()
        config = parse(values | {"optim": values["optim"] | {"accumulation": int(smaller[1])}})
    names = ("state", "score", "metrics", "evaluations", "reason")
    return Recorded(name=name, config=config, **{key: entry[key] for key in names})


def objective(found: Mapping[str, Any]) -> Objective:
    """What the search was after."""
    words = str(found["metric"]).partition("; ")[0].removesuffix(" (less is better)")
    mean = re.fullmatch(r"mean\((.+)\)", words)
    if mean:
        return Objective(MEAN, tasks_of(mean[1].split(", ")))
    return Objective(OWN_MEAN if words.startswith("mean over") else words)


def gang(found: Mapping[str, Any], folder: Path) -> GangShape:
    """The ranks that each training had. A run from before they were recorded has what its options say, else one rank."""
    if found.get("gang"):
        return GangShape(**found["gang"])
    given = options.load(folder)
    gpus = given.gpus_per_worker if given.gpus_per_worker is not None else float(bool(environment.gpus()))
    return GangShape(given.workers_per_trial or 1, given.cpus_per_worker or 1, gpus)


def data(found: Mapping[str, Any], folder: Path, elsewhere: str | None) -> Data:
    """The run's data, in their recorded place or `elsewhere`. Raises `ConfigError` where they are not what they were."""
    given = options.load(folder)
    source = DataSource.parse(elsewhere or given.data)
    rows = found["data"]["rows"]
    arms = tuple(dict.fromkeys(split for splits in rows.values() for split in splits if split not in SPLITS))
    summary = inspect(source, tuple(rows), skip_bad_rows=given.skip_bad_rows, arms=arms)
    if summary.sha256 != found["data"]["sha256"]:
        told = f"the data in {source.text} have the SHA-256 {summary.sha256[:12]}…, those of {found['name']} had"
        raise ConfigError([f"{told} {found['data']['sha256'][:12]}…; name the data that it was trained on with --data"])
    return Data(source, given.skip_bad_rows)


def read(folder: Path) -> dict[str, Any]:
    """results.json of the run in `folder`. Raises `ConfigError`."""
    options.load(folder)
    return results.read(folder / results.FILE_NAME)


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between the environment of the record and this one, a line for each."""
    lines = []
    for name, now in here["versions"].items():
        then = recorded.get("versions", {}).get(name)
        if then != now:
            lines.append(f"{name} was {then or 'not there'}, and is {now or 'not there'}")
    lines += _commits(recorded.get("git"), here["git"])
    then, now = recorded.get("hardware", {}), here["hardware"]
    if then.get("cpu") != now["cpu"]:
        lines.append(f"the processor was {then.get('cpu') or 'not known'}, and is {now['cpu']}")
    if then.get("gpus", []) != now["gpus"]:
        lines.append(f"the GPUs were {_names(then.get('gpus', []))}, and are {_names(now['gpus'])}")
    return lines


def _commits(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    if then is None or now is None:
        return [] if then == now else ["the commit is not known on both sides"]
    if then["commit"] != now["commit"]:
        return [f"the commit was {then['commit'][:12]}, and is {now['commit'][:12]}"]
    sides = [side for side, found in (("then", then), ("now", now)) if found["dirty"]]
    return [f"the commit is the same, with changes that are not committed {' and '.join(sides)}"] if sides else []


def _names(gpus: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(str(gpu["name"]) for gpu in gpus) or "none"
