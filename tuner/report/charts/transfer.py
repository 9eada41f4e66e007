"""The transfer matrix: each mixture's gain over the task alone, a row for each mixture, a column for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from scipy import stats

from model.metrics import CONFIDENCE
from model.tasks import TASKS
from tuner.report.charts.champion import metric_se
from tuner.report.gather import Run, tasks_of
from tuner.report.html import absent, element, figure, number, scrolled, signed
from tuner.results.standard_errors import welch

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
    alone, mixed = transfer(run)
    if not mixed:
        return absent("No complete trial trained several tasks together.")
    if not alone:
        return absent(NOTHING_ALONE)
    tasks = tasks_of(run.complete)
    head = element("tr", element("th", "mixture", scope="col"), [_head(task, alone.get(task)) for task in tasks])
    body = [
        element(
            "tr",
            element("th", " + ".join(mixture), scope="row"),
            [_cell(task, levels.get(task), alone.get(task), task in mixture) for task in tasks],
        )
        for mixture, levels in mixed.items()
    ]
    matrix = element("table", element("thead", head), element("tbody", body), class_="matrix")
    return [figure("", [scrolled("Transfer matrix", matrix)], CAPTION)]


def _head(task: str, alone: Level | None) -> Element:
    source = "unknown"
    if alone is not None:
        trials = "control" if alone.is_control else f"{alone.n} trial{'s' if alone.n > 1 else ''}"
        source = f"{number(alone.value)} ({trials})"
    return element("th", task, element("small", f"alone: {source}"), scope="col")


def _cell(task: str, mixed: Level | None, alone: Level | None, is_mixed: bool) -> Element:
    if not is_mixed:
        return element("td", element("span", "not in it", class_="quiet"))
    if mixed is None or alone is None:
        return element("td", "unknown", element("small", f"{TASKS[task].metric} alone is not known"))
    gain, bounds = compare(mixed, alone)
    interval = " to ".join(signed(bound, 3) for bound in bounds) if bounds else "no interval"
    source = " and ".join(dict.fromkeys("trials" if side.n > 1 else "examples" for side in (mixed, alone)))
    note = f"{interval}; {mixed.n} against {alone.n}, error of {source}"
    is_clear = bounds is not None and not bounds[0] <= 0 <= bounds[1]
    class_ = "unclear" if not is_clear else "gain" if gain > 0 else "loss"
    return element("td", element("b", signed(gain, 3)), element("small", note), class_=class_)


@dataclass(frozen=True)
class Level:
    """A task's metric in one mixture: the mean over trainings, and the mean's standard error."""

    value: float
    se: float | None
    """The spread of several trainings, or the sampling error of the select examples of a single one."""
    degrees: float
    """Degrees of freedom of `se`; infinite for the sampling error."""
    n: int
    """Trainings."""
    is_control: bool = False
    """Whether it is from the task's control; else from trials of this search."""


def transfer(run: Run) -> tuple[dict[str, Level], dict[tuple[str, ...], dict[str, Level]]]:
    """The levels of tasks trained alone, and those of tasks in mixtures; what is unknown is left out.

    From COMPLETE trials, whatever their other settings; a task without a trial of its own takes its control.
    """
    values: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for trial in run.complete:
        mixture = tuple(tasks_of([trial]))
        by_task = values.setdefault(mixture, {})
        for task in mixture:
            if trial["metrics"].get(TASKS[task].metric) is not None:
                by_task.setdefault(task, []).append(trial["metrics"][TASKS[task].metric])
    alone = {}
    for task in tasks_of(run.complete):
        control = (run.results.get("controls") or {}).get(task) or {}
        if trained := values.get((task,), {}).get(task):
            alone[task] = level(run, task, trained)
        elif control.get("value") is not None:
            alone[task] = level(run, task, [control["value"]], is_control=True)
    mixtures = sorted((mixture for mixture in values if len(mixture) > 1), key=lambda mixture: (len(mixture), mixture))
    return alone, {mixture: {task: level(run, task, v) for task, v in values[mixture].items()} for mixture in mixtures}


def level(run: Run, task: str, values: Sequence[float], is_control: bool = False) -> Level:
    n = len(values)
    if n > 1:
        return Level(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n), n - 1, n)
    return Level(values[0], metric_se(run, task, values[0]), math.inf, 1, is_control)


def compare(mixed: Level, alone: Level) -> tuple[float, tuple[float, float] | None]:
    """The difference of two levels and Welch's 95 % interval, None where an error is unknown."""
    gain = mixed.value - alone.value
    if mixed.se is None or alone.se is None:
        return gain, None
    se, degrees = welch([(mixed.se**2, mixed.degrees), (alone.se**2, alone.degrees)])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * se
    return gain, (gain - reach, gain + reach)
