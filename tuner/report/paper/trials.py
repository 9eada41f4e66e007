"""The trials of results.json as the paper's tables need them: their training, and their scores at each evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tuner.results.text import dotted
from tuner.results.trial_record import INTERRUPTED


@dataclass(frozen=True)
class Trial:
    """One trial with a whole configuration."""

    number: int
    state: str
    reason: str | None
    config: Mapping[str, Any]
    evaluations: tuple[Mapping[str, float | None], ...]
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

    @property
    def name(self) -> str:
        """`quora+sst (finetune)`."""
        return f"{'+'.join(sorted(self.mixture))} ({self.mode})"

    @cached_property
    def settings(self) -> dict[str, str]:
        """The configuration by dotted name, as text; the order of a mixture's tasks does not matter."""
        flat = dotted(self.config).items()
        return {name: text_of(sorted(value) if name == "mixture" else value) for name, value in flat}

    @property
    def identity(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.settings.items())

    def last(self, metric: str) -> float | None:
        """A metric at the last evaluation; None where it was not measured."""
        return self.evaluations[-1].get(metric) if self.evaluations else None

    def at_best(self, metric: str, chooser: str) -> float | None:
        """A metric at the first evaluation where `chooser` is highest, as the paper chooses the epoch."""
        scored = [(score, metrics) for metrics in self.evaluations if (score := metrics.get(chooser)) is not None]
        return max(scored, key=lambda pair: pair[0])[1].get(metric) if scored else None


def read(results: Mapping[str, Any]) -> list[Trial]:
    """The trials of a run by number, without those that were refused before they had a whole configuration."""
    return [
        Trial(
            number=trial["number"],
            state=trial["state"],
            reason=trial["reason"],
            config=trial["config"],
            evaluations=tuple(evaluation["metrics"] or {} for evaluation in trial["evaluations"]),
        )
        for trial in sorted(results["trials"], key=lambda trial: int(trial["number"]))
        if {"mixture", "mode", "seed", "smart"} <= set(trial["config"] or {})
    ]


def first_of_each(trials: Iterable[Trial]) -> list[Trial]:
    """Without trials that repeat an earlier one's whole configuration, seed included."""
    kept: dict[frozenset[tuple[str, str]], Trial] = {}
    for trial in trials:
        kept.setdefault(trial.identity, trial)
    return list(kept.values())


def without_retried(trials: Sequence[Trial]) -> list[Trial]:
    """Without interrupted trials whose configuration was tried again."""
    tried = {trial.identity for trial in trials if trial.reason != INTERRUPTED}
    return [trial for trial in trials if trial.reason != INTERRUPTED or trial.identity not in tried]


def varying(trials: Sequence[Trial], ignoring: tuple[str, ...] = ("seed",)) -> dict[str, list[str]]:
    """Settings that differ among trials, with their values; `ignoring` names settings or whole sections (`smart`)."""
    names = sorted({name for trial in trials for name in trial.settings if not {name, name.partition(".")[0]} & set(ignoring)})
    values = {name: sorted({trial.settings.get(name, "unset") for trial in trials}) for name in names}
    return {name: texts for name, texts in values.items() if len(texts) > 1}


def text_of(value: object) -> str:
    """A setting's value: `1e-05`, `cosine`, `[quora, sts]`, `sst 0.5`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text_of(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
