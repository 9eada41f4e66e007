"""The transfer matrix: a row for each mixture, a column for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from scipy import stats

from model.tasks import TASKS
from tuner.report.charts.champion import metric_se
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, scrolled, signed
from tuner.report.gather import Run, tasks_of

CONFIDENCE = 0.95

CAPTION = (
    "Mixture minus the task alone, in the task's main metric on select at the last evaluation: the mean over complete trials, "
    "whatever their other settings, with a 95 % interval. Where a side has several trainings its error is their spread "
    "(Welch's interval); where it has one, the sampling error of the select examples, which leaves the seed out. Filled: the "
    "interval leaves 0 out. Many cells are compared, so that one in twenty is filled by chance. Pruned trials are left out, "
    "which flatters mixtures that were pruned often."
)


def section(run: Run) -> list[Element]:
    found = transfer(run)
    if not found.mixtures:
        return [element("p", "No complete trial trained several tasks together.", class_="none")]
    if not found.cells:
        return [element("p", _NOTHING_ALONE, class_="none")]
    head = element("tr", element("th", "mixture", scope="col"), [_task(task, found) for task in found.tasks])
    body = [
        element("tr", element("th", " + ".join(mixture), scope="row"), [_cell(found, mixture, task) for task in found.tasks])
        for mixture in found.mixtures
    ]
    matrix = element("table", element("thead", head), element("tbody", body), class_="matrix")
    return [figure("", [scrolled("Transfer matrix", matrix)], CAPTION)]


_NOTHING_ALONE = (
    "Nothing is known of any task alone: this search has no trial of a single task, and no controls. Add such mixtures to the "
    "space, or --require no-negative-transfer, which trains a control of each task."
)


def _task(task: str, found: Transfer) -> Element:
    if task not in found.alone:
        return element("th", task, element("small", "alone: unknown"), scope="col")
    alone = found.alone[task]
    source = "control" if found.sources[task] == "control" else f"{alone.n} trial{'s' if alone.n > 1 else ''}"
    return element("th", task, element("small", f"alone: {number(alone.value)} ({source})"), scope="col")


def _cell(found: Transfer, mixture: tuple[str, ...], task: str) -> Element:
    if task not in mixture:
        return element("td", element("span", "not in it", class_="quiet"))
    cell = found.cells.get((mixture, task))
    if cell is None:
        return element("td", "unknown", element("small", f"{TASKS[task].metric} alone is not known"))
    interval = "no interval" if cell.low is None or cell.high is None else f"{signed(cell.low, 3)} to {signed(cell.high, 3)}"
    told = f"{interval}; {cell.n_mixed} against {cell.n_alone}, error of {cell.how}"
    return element("td", element("b", signed(cell.gain, 3)), element("small", told), class_=_class(cell))


def _class(cell: Cell) -> str:
    if not cell.is_clear:
        return "unclear"
    return "gain" if cell.gain > 0 else "loss"


@dataclass(frozen=True)
class Level:
    """How good a task is in one place: the mean over trainings, and that mean's standard error."""

    value: float
    se: float | None
    degrees: float
    """Of freedom of `se`; infinite where it is the sampling error of the select examples."""
    n: int
    how: str
    """`trials` where the error is theirs, `examples` where there is one training and the error is that of select."""


@dataclass(frozen=True)
class Cell:
    """Mixture minus alone, of one task."""

    gain: float
    low: float | None
    high: float | None
    """95 % interval; None where no error is known."""
    n_mixed: int
    n_alone: int
    how: str
    """Where its error is from: `trials`, `examples` or `trials and examples`."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Transfer:
    """Mixtures × tasks. A pair that is not in `cells` is unknown."""

    tasks: tuple[str, ...]
    mixtures: tuple[tuple[str, ...], ...]
    alone: dict[str, Level]
    """The tasks trained alone, as far as there are such trainings."""
    sources: dict[str, str]
    """Where they are from: `trials` of this search, or `control`."""
    cells: dict[tuple[tuple[str, ...], str], Cell]


def transfer(run: Run) -> Transfer:
    """From COMPLETE trials, whatever their other settings; a task alone is a trial of this search, else its control."""
    tasks = tasks_of(run.complete)
    by_mixture: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for trial in run.complete:
        mixture = tuple(tasks_of([trial]))
        own = by_mixture.setdefault(mixture, {})
        for task in mixture:
            value = trial["metrics"].get(TASKS[task].metric)
            if value is not None:
                own.setdefault(task, []).append(value)
    alone, sources = {}, {}
    for task in tasks:
        trained = by_mixture.get((task,), {}).get(task, [])
        control = (run.results.get("controls") or {}).get(task)
        if trained:
            alone[task], sources[task] = level(run, task, trained), "trials"
        elif control is not None and control.get("value") is not None:
            alone[task], sources[task] = level(run, task, [control["value"]]), "control"
    mixtures = sorted((own for own in by_mixture if len(own) > 1), key=lambda own: (len(own), own))
    cells = {
        (mixture, task): compare(level(run, task, values), alone[task])
        for mixture in mixtures
        for task, values in by_mixture[mixture].items()
        if task in alone
    }
    return Transfer(tuple(tasks), tuple(mixtures), alone, sources, cells)


def level(run: Run, task: str, values: Sequence[float]) -> Level:
    """The mean of trainings; of one alone, with the sampling error of its select examples."""
    if len(values) > 1:
        se = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return Level(float(np.mean(values)), se, len(values) - 1, len(values), "trials")
    return Level(values[0], metric_se(run, task, values[0]), math.inf, 1, "examples")


def compare(mixed: Level, alone: Level) -> Cell:
    """The difference of two levels, with Welch and Satterthwaite's degrees of freedom."""
    gain = mixed.value - alone.value
    how = " and ".join(dict.fromkeys((mixed.how, alone.how)))
    if mixed.se is None or alone.se is None:
        return Cell(gain, None, None, mixed.n, alone.n, how)
    parts = [(side.se**2, side.degrees) for side in (mixed, alone) if side.se is not None]
    se = math.sqrt(sum(part for part, _ in parts))
    spread = sum(part**2 / degrees for part, degrees in parts)
    degrees = se**4 / spread if spread else math.inf
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * se
    return Cell(gain, gain - reach, gain + reach, mixed.n, alone.n, how)
