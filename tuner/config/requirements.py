"""Constraints on the champion, as in `--require "quora/accuracy>=0.80"` and `--require no-negative-transfer`.

The excess of a requirement is the violation of its bound in units of the metric, ≤ 0 where it is met. The shortfall of a trial
is the sum of its positive excesses (Deb 2000).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.config import ConfigError, nearest
from model.tasks import TASKS
from tuner.config.objective import MEAN, Measured, goal_problems, target_problems, value_of

NO_NEGATIVE_TRANSFER = "no-negative-transfer"
DEFAULT_MARGIN = 0.01
FORM = re.compile(r"(?P<goal>[^<>=]+)(?P<sense>>=|<=)(?P<bound>[^<>=]+)")


def shortfall(excess: Mapping[str, float]) -> float:
    """The sum of the positive excesses; 0 where all requirements are met."""
    return sum(value for value in excess.values() if value > 0)


@dataclass(frozen=True)
class Requirement:
    """A bound on any goal of `--metric`."""

    goal: str
    sense: str
    """`>=` or `<=`."""
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read `quora/accuracy>=0.80`. Raises `ConfigError` with all problems."""
        match = FORM.fullmatch(text.strip())
        if match is None:
            forms = f'METRIC>=NUMBER or METRIC<=NUMBER, such as "quora/accuracy>=0.80", nor {NO_NEGATIVE_TRANSFER}[:MARGIN]'
            raise ConfigError([f"--require {text} is not {forms}{nearest(text, [NO_NEGATIVE_TRANSFER])}"])
        goal, sense, bound = (match[name].strip() for name in ("goal", "sense", "bound"))
        problems = [f"--require {text}: {problem}" for problem in goal_problems(goal)]
        number = _number(bound)
        if number is None:
            problems.append(f"--require {text}: {bound} is not a number; give one such as 0.8")
        elif not -1 <= number <= 1:
            problems.append(f"--require {text}: {bound} is outside what metrics can be, -1 to 1; 80 % is 0.8")
        if number is None or problems:
            raise ConfigError(problems)
        return cls(goal, sense, number)

    def __str__(self) -> str:
        return f"{self.goal}{self.sense}{self.bound:g}"

    def excess(self, value: float) -> float:
        """The violation of the bound by `value`; negative where it is met."""
        return self.bound - value if self.sense == ">=" else value - self.bound


@dataclass(frozen=True)
class NoNegativeTransfer:
    """No task of a trial may be more than `margin` below its control, the task trained alone (`tuner.search.controls`)."""

    margin: float = DEFAULT_MARGIN
    """δ, in units of the tasks' main metrics."""
    controls: Mapping[str, float] = field(default_factory=dict)
    """Each control's value of its task's main metric; empty until the controls are trained."""

    @classmethod
    def parse(cls, text: str) -> NoNegativeTransfer:
        """Read `no-negative-transfer` or `no-negative-transfer:0.02`. Raises `ConfigError`."""
        _, colon, margin = text.strip().partition(":")
        number = _number(margin) if colon else DEFAULT_MARGIN
        if number is None or not 0 <= number <= 1:
            raise ConfigError([f"--require {text}: give a margin from 0 to 1, such as {NO_NEGATIVE_TRANSFER}:0.02"])
        return cls(number)

    def __str__(self) -> str:
        return f"{NO_NEGATIVE_TRANSFER}:{self.margin:g}"

    def excess(self, metrics: Mapping[str, float]) -> float:
        """The maximum of control − δ − metric over the trial's tasks; NaN where one of its metrics is NaN."""
        below = [
            control - self.margin - metrics[TASKS[task].metric]
            for task, control in self.controls.items()
            if TASKS[task].metric in metrics
        ]
        assert below, "the controls of all tasks are trained before the first trial"
        return math.nan if any(map(math.isnan, below)) else max(below)


@dataclass(frozen=True)
class Requirements(Measured):
    """All requirements of a search; none by default. `targets` are the tasks of `mean`."""

    each: tuple[Requirement, ...] = ()
    targets: tuple[str, ...] = ()
    transfer: NoNegativeTransfer | None = None

    @classmethod
    def parse(cls, texts: Sequence[str], targets: tuple[str, ...] = ()) -> Requirements:
        """Read all texts. Raises `ConfigError` with the problems of each, and where two contradict each other."""
        problems: list[str] = []
        each: list[Requirement] = []
        transfers: list[NoNegativeTransfer] = []
        for text in texts:
            try:
                if text.strip().partition(":")[0] == NO_NEGATIVE_TRANSFER:
                    transfers.append(NoNegativeTransfer.parse(text))
                else:
                    each.append(Requirement.parse(text))
            except ConfigError as error:
                problems += error.problems
        problems += _conflicts(each)
        if len(transfers) > 1:
            problems.append(f"--require names {NO_NEGATIVE_TRANSFER} {len(transfers)} times: give one margin")
        if any(requirement.goal == MEAN for requirement in each):
            problems += target_problems(targets)
        if problems:
            raise ConfigError(problems)
        return cls(tuple(each), targets, transfers[0] if transfers else None)

    def with_controls(self, controls: Mapping[str, float]) -> Requirements:
        """A copy with the controls' values."""
        return self if self.transfer is None else replace(self, transfer=replace(self.transfer, controls=controls))

    @property
    def texts(self) -> list[str]:
        """Each requirement as the user could have written it."""
        return [*map(str, self.each), *([] if self.transfer is None else [str(self.transfer)])]

    @property
    def goals(self) -> tuple[str, ...]:
        return tuple(one.goal for one in self.each)

    def excess(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Each requirement's excess in an evaluation, by its text; NaN where the value is NaN."""
        excess = {str(one): one.excess(value_of(one.goal, metrics, self.targets)) for one in self.each}
        return excess if self.transfer is None else excess | {str(self.transfer): self.transfer.excess(metrics)}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _conflicts(each: Sequence[Requirement]) -> list[str]:
    counts = Counter((one.goal, one.sense) for one in each)
    problems = [f"--require names {goal}{sense} {n} times: give one bound" for (goal, sense), n in counts.items() if n > 1]
    least = {one.goal: one for one in each if one.sense == ">="}
    most = {one.goal: one for one in each if one.sense == "<="}
    return problems + [
        f"--require {least[goal]} and {most[goal]}: no trial can meet both; change one of them"
        for goal in least.keys() & most.keys()
        if least[goal].bound > most[goal].bound
    ]
