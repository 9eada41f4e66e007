"""The transfer matrix: a row for each mixture, a column for each task."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from model.tasks import TASKS
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, scrolled, signed
from tuner.report.numbers.transfer import Cell, Transfer, transfer
from tuner.report.run import Run

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
