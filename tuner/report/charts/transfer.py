"""The transfer matrix: each mixture's gain over the task alone, a row for each mixture, a column for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from scipy import stats

from model.tasks import TASKS
from tuner.report.charts.champion import metric_se
from tuner.report.gather import Run, tasks_of
from tuner.report.html import absent, element, figure, number, scrolled, signed
from tuner.results.intervals import CONFIDENCE, welch

CAPTION = (
    "Mixture minus the task alone, in the task's main metric on select at the last evaluation: the mean over complete trials, "
    "whatever their other settings, with a 95 % interval. Where a side has several trainings its error is their spread "
    "(Welch's interval); where it has one, the sampling error of the select examples, which leaves the seed out. Filled: the "
    "interval leaves 0 out. Many cells are compared, so that one in twenty is filled by chance. Pruned trials are left out, "
    "which flatters mixtures that were pruned often."
)
NOTHING_ALONE = (
    "Nothing is known of any task alone: this search has no trial of a single task, and no controls. Add such mixtures to the "
    "space, or --require no-negative-transfer, which trains a control of each task."
)


def section(run: Run) -> list[Element]:
    found = transfer(run)
    if not found.mixtures:
        return absent("No complete trial trained several tasks together.")
    if not found.cells:
        return absent(NOTHING_ALONE)
    head = element("tr", element("th", "mixture", scope="col"), [_head(task, found.alone.get(task)) for task in found.tasks])
    body = [
        element("tr", element("th", " + ".join(mixture), scope="row"), [_cell(found, mixture, task) for task in found.tasks])
        for mixture in found.mixtures
    ]
    matrix = element("table", element("thead", head), element("tbody", body), class_="matrix")
    return [figure("", [scrolled("Transfer matrix", matrix)], CAPTION)]


def _head(task: str, alone: Level | None) -> Element:
    source = "unknown"
    if alone is not None:
        trials = "control" if alone.is_control else f"{alone.n} trial{'s' if alone.n > 1 else ''}"
        source = f"{number(alone.value)} ({trials})"
    return element("th", task, element("small", f"alone: {source}"), scope="col")


def _cell(found: Transfer, mixture: tuple[str, ...], task: str) -> Element:
    if task not in mixture:
        return element("td", element("span", "not in it", class_="quiet"))
    cell = found.cells.get((mixture, task))
    if cell is None:
        return element("td", "unknown", element("small", f"{TASKS[task].metric} alone is not known"))
    interval = "no interval"
    if cell.interval is not None:
        interval = " to ".join(signed(bound, 3) for bound in cell.interval)
    note = f"{interval}; {cell.n_mixed} against {cell.n_alone}, error of {cell.how}"
    class_ = "unclear" if not cell.is_clear else "gain" if cell.gain > 0 else "loss"
    return element("td", element("b", signed(cell.gain, 3)), element("small", note), class_=class_)


@dataclass(frozen=True)
class Level:
    """A task's metric in one mixture: the mean over trainings, and the mean's standard error."""

    value: float
    se: float | None
    degrees: float
    """Degrees of freedom of `se`; infinite for the sampling error of the select examples."""
    n: int
    """Trainings."""
    is_control: bool = False
    """Whether it is from the task's control; else from trials of this search."""

    @property
    def how(self) -> str:
        """Source of `se`: the spread of `trials`, or the select `examples` where there is one training."""
        return "trials" if self.n > 1 else "examples"


@dataclass(frozen=True)
class Cell:
    """Mixture minus alone, of one task."""

    gain: float
    interval: tuple[float, float] | None
    """95 %; None where an error is unknown."""
    n_mixed: int
    n_alone: int
    how: str
    """Source of the error: `trials`, `examples`, or both joined by `and`."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Transfer:
    """Mixtures × tasks. A pair that is not in `cells` is unknown."""

    tasks: tuple[str, ...]
    mixtures: tuple[tuple[str, ...], ...]
    alone: dict[str, Level]
    """The tasks that were trained alone."""
    cells: dict[tuple[tuple[str, ...], str], Cell]


def transfer(run: Run) -> Transfer:
    """From COMPLETE trials, whatever their other settings; a task alone is a trial of this search, else its control."""
    values: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for trial in run.complete:
        mixture = tuple(tasks_of([trial]))
        by_task = values.setdefault(mixture, {})
        for task in mixture:
            if trial["metrics"].get(TASKS[task].metric) is not None:
                by_task.setdefault(task, []).append(trial["metrics"][TASKS[task].metric])
    tasks = tasks_of(run.complete)
    alone = {}
    for task in tasks:
        control = (run.results.get("controls") or {}).get(task) or {}
        if trained := values.get((task,), {}).get(task):
            alone[task] = level(run, task, trained)
        elif control.get("value") is not None:
            alone[task] = level(run, task, [control["value"]], is_control=True)
    mixtures = sorted((mixture for mixture in values if len(mixture) > 1), key=lambda mixture: (len(mixture), mixture))
    cells = {
        (mixture, task): compare(level(run, task, trained), alone[task])
        for mixture in mixtures
        for task, trained in values[mixture].items()
        if task in alone
    }
    return Transfer(tuple(tasks), tuple(mixtures), alone, cells)


def level(run: Run, task: str, values: Sequence[float], is_control: bool = False) -> Level:
    """The mean of trainings; a single one has the sampling error of its select examples."""
    n = len(values)
    if n > 1:
        return Level(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n), n - 1, n)
    return Level(values[0], metric_se(run, task, values[0]), math.inf, 1, is_control)


def compare(mixed: Level, alone: Level) -> Cell:
    """The difference of two levels, with Welch's interval."""
    gain = mixed.value - alone.value
    how = " and ".join(dict.fromkeys((mixed.how, alone.how)))
    if mixed.se is None or alone.se is None:
        return Cell(gain, None, mixed.n, alone.n, how)
    se, degrees = welch([(mixed.se**2, mixed.degrees), (alone.se**2, alone.degrees)])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * se
    return Cell(gain, (gain - reach, gain + reach), mixed.n, alone.n, how)
