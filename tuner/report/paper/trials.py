"""The trials of results.json, as far as the paper's tables ask: what was trained, and its scores at each evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.results.trial_record import INTERRUPTED


@dataclass(frozen=True)
class Trial:
    """One trial that a configuration was made for."""

    number: int
    state: str
    reason: str | None
    config: Mapping[str, Any]
    evaluations: tuple[Mapping[str, Any], ...]
    """Metrics of each evaluation, in order."""

    @property
    def mixture(self) -> frozenset[str]:
        return frozenset(self.config["mixture"])

    @property
    def smart(self) -> bool:
        return bool(self.config["smart"]["enabled"])

    @property
    def mode(self) -> str:
        return str(self.config["mode"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    def last(self, metric: str) -> float | None:
        """A metric at the last evaluation; None where it was not measured."""
        return _number(self.evaluations[-1], metric) if self.evaluations else None

    def at_best(self, metric: str, chooser: str) -> float | None:
        """A metric at the evaluation where `chooser` is highest, of equals the first: the paper's choice of the epoch."""
        scored = [(score, metrics) for metrics in self.evaluations if (score := _number(metrics, chooser)) is not None]
        return _number(max(scored, key=lambda pair: pair[0])[1], metric) if scored else None


def read(results: Mapping[str, Any]) -> list[Trial]:
    """The trials of a run by number, without those that were refused before they had a whole configuration."""
    return [
        Trial(
            number=trial["number"],
            state=trial["state"],
            reason=trial["reason"],
            config=trial["config"],
            evaluations=tuple(each["metrics"] or {} for each in trial["evaluations"]),
        )
        for trial in sorted(results["trials"], key=lambda trial: int(trial["number"]))
        if {"mixture", "mode", "seed", "smart"} <= set(trial["config"] or {})
    ]


def first_of_each(trials: Iterable[Trial]) -> list[Trial]:
    """Without the trials that repeat an earlier one's whole configuration: a repeat is no new seed."""
    kept: dict[frozenset[tuple[str, str]], Trial] = {}
    for trial in trials:
        kept.setdefault(_identity(trial), trial)
    return list(kept.values())


def without_retried(trials: Sequence[Trial]) -> list[Trial]:
    """Without the interrupted trials whose configuration has been tried again."""
    tried = {_identity(trial) for trial in trials if trial.reason != INTERRUPTED}
    return [trial for trial in trials if trial.reason != INTERRUPTED or _identity(trial) not in tried]


def varying(trials: Sequence[Trial], ignoring: tuple[str, ...] = ("seed",)) -> dict[str, list[str]]:
    """Settings that differ among trials, with their values; `ignoring` names settings or whole sections (`smart`)."""
    configs = [flat(trial.config) for trial in trials]
    names = sorted({name for config in configs for name in config})
    values = {name: sorted({config.get(name, "unset") for config in configs}) for name in names}
    return {
        name: found
        for name, found in values.items()
        if len(found) > 1 and not any(name == each or name.startswith(f"{each}.") for each in ignoring)
    }


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A configuration's settings by dotted name, as text; the tasks of a mixture in one order."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = text_of(sorted(value) if name == "mixture" else value)
    return found


def text_of(value: object) -> str:
    """A setting's value: `1e-05`, `cosine`, `[quora, sts]`, `sst 0.5`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text_of(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _identity(trial: Trial) -> frozenset[tuple[str, str]]:
    return frozenset(flat(trial.config).items())


def _number(metrics: Mapping[str, Any], name: str) -> float | None:
    value = metrics.get(name)
    return None if value is None else float(value)
