"""Where the time of the gangs went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tuner.report.charts.timeline import KINDS, Schedule
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, scrolled, table, text
from tuner.report.gather import Run, Trial
from tuner.results.text import duration

OTHERS = "others"
"""Trainings that are no trials of the search, such as finalists on fresh seeds."""
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")

WIDTH, HEIGHT, BAR = 1120.0, 62.0, 28.0
IDLE = "idle"


def section(run: Run, found: Cost) -> list[Element]:
    if not found.total_s:
        return [element("p", "Nothing was spent yet.", class_="none")]
    caption = (
        "Seconds of gangs. The saving is an estimate: what pruned trials had left, each at its own pace until then; their last "
        "evaluation would have been on all of select, so that it is rather low."
        if found.idle_s is not None
        else "Training and evaluation, as the trials tell of themselves: without a timeline set-up and idle are not known."
    )
    return [element("p", _told(found)), figure("", [scrolled("Cost", draw(found))], caption, _alternative(found))]


def _told(found: Cost) -> str:
    unit = f"{found.unit}-hours"
    told = [f"{found.hours(found.total_s):.2f} {unit} in all ({duration(found.total_s)} of gangs)."]
    if found.saved_by_pruning_s:
        share = found.saved_by_pruning_s / (found.total_s + found.saved_by_pruning_s)
        told.append(
            f"Pruning saved about {found.hours(found.saved_by_pruning_s):.2f} {unit}: without it the trials would have cost "
            f"{100 * share / (1 - share):.0f} % more."
        )
    if found.n_repeats:
        hours = found.hours(found.saved_by_repeats_s)
        told.append(f"{found.n_repeats} repeated configurations were told from the record, which saved {hours:.2f} {unit}.")
    if found.n_unrecorded and found.idle_s is not None:
        told.append(f"{found.n_unrecorded} trials are older than the timeline: they are counted by their own seconds.")
    return " ".join(told)


def parts(found: Cost) -> list[tuple[str, str, float]]:
    """Name, class and seconds of each part of the bar, in order."""
    each = [
        (f"{row.state.lower()}, {kind}", f"s-{row.state.lower()} k-{kind.replace('-', '')}", row.seconds.get(kind, 0.0))
        for row in found.rows
        for kind in KINDS
    ]
    return [one for one in (*each, (IDLE, "k-idle", found.idle_s or 0.0)) if one[2] > 0]


def draw(found: Cost) -> Element:
    at, drawn = 0.0, []
    for name, class_, seconds in parts(found):
        width = seconds / found.total_s * WIDTH
        title = element("title", f"{name}: {duration(seconds)}, {100 * seconds / found.total_s:.1f} %")
        drawn.append(element("rect", title, x=at, y=4, width=width, height=BAR, class_=class_))
        at += width
    at = 0.0
    for row in [*((row.state.lower(), row.total_s) for row in found.rows), (IDLE, found.idle_s or 0.0)]:
        width = row[1] / found.total_s * WIDTH
        if width > 0:
            drawn.append(element("line", x1=at + 0.5, x2=at + width - 0.5, y1=BAR + 9, y2=BAR + 9, class_="axis"))
        if width > 70:
            share = f"{100 * row[1] / found.total_s:.0f} %"
            drawn.append(text(f"{row[0]} {share}", at + width / 2, BAR + 23, "middle"))
        at += width
    told = ", ".join(f"{name} {100 * seconds / found.total_s:.0f} %" for name, _, seconds in parts(found))
    return drawing(f"Where the time went: {told}", drawn, width=WIDTH, height=HEIGHT, class_="wide")


def _alternative(found: Cost) -> Element:
    rows = []
    for row in found.rows:
        seconds = [duration(row.seconds.get(kind, 0.0)) for kind in KINDS]
        rows.append([row.state, str(row.n), *seconds, duration(row.total_s), f"{found.hours(row.total_s):.3f}"])
    if found.idle_s is not None:
        rows.append([IDLE, "–", *("–" for _ in KINDS), duration(found.idle_s), f"{found.hours(found.idle_s):.3f}"])
    return table(("state", "trials", *KINDS, "in all", f"{found.unit}-hours"), rows, "Cost by state")


@dataclass(frozen=True)
class Row:
    """The trials of one state."""

    state: str
    n: int
    seconds: dict[str, float]
    """By kind of work; only `training` and `evaluation` where no timeline was recorded."""

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Cost:
    """A whole run, in seconds of gangs."""

    rows: tuple[Row, ...]
    idle_s: float | None
    """That slots stood empty; None where no timeline was recorded."""
    per_gang: float
    """GPUs of a gang, or CPUs where it has no GPU; 1 where unknown."""
    unit: str
    """`GPU`, `CPU` or `gang`."""
    saved_by_pruning_s: float
    saved_by_repeats_s: float
    n_repeats: int
    n_unrecorded: int
    """Trained trials that the timeline does not know."""

    @property
    def total_s(self) -> float:
        return sum(row.total_s for row in self.rows) + (self.idle_s or 0.0)

    def hours(self, seconds: float) -> float:
        return seconds * self.per_gang / 3600


def cost(run: Run, found: Schedule | None) -> Cost:
    """Of all trials; from the timeline where there is one, else from what trials say of themselves."""
    known = {} if found is None else _by_trial(found)
    rows = []
    for state in STATES:
        trials = [trial for trial in run.counted if trial["state"] == state]
        each = [known.get(trial["number"]) or _own(trial) for trial in trials]
        seconds = {kind: sum(own.get(kind, 0.0) for own in each) for kind in KINDS}
        if trials:
            rows.append(Row(state, len(trials), seconds))
    others = [own for number, own in known.items() if number not in {trial["number"] for trial in run.trials}]
    if others:
        rows.append(Row(OTHERS, len(others), {kind: sum(own.get(kind, 0.0) for own in others) for kind in KINDS}))
    gang = found.gang if found else {}
    gpus, cpus = (gang.get("n_workers", 1) * gang.get(name, 0) for name in ("gpus_per_worker", "cpus_per_worker"))
    repeats = [trial for trial in run.trials if trial.get("same_as") is not None]
    by_number = {trial["number"]: trial for trial in run.trials}
    return Cost(
        rows=tuple(rows),
        idle_s=None if found is None else found.idle_s,
        per_gang=gpus or cpus or 1,
        unit="GPU" if gpus else "CPU" if cpus else "gang",
        saved_by_pruning_s=saved_by_pruning(run.counted),
        saved_by_repeats_s=sum(by_number[trial["same_as"]]["seconds"] for trial in repeats if trial["same_as"] in by_number),
        n_repeats=len(repeats),
        n_unrecorded=0 if found is None else sum(trial["number"] not in known for trial in run.counted),
    )


def _own(trial: Trial) -> dict[str, float]:
    evaluating = sum(evaluation.get("evaluation_s") or 0.0 for evaluation in trial["evaluations"])
    return {"training": trial["seconds"] - evaluating, "evaluation": evaluating}


def _by_trial(found: Schedule) -> dict[int, dict[str, float]]:
    """Seconds of each trial by kind of work."""
    totals: dict[int, dict[str, float]] = {}
    for segment in found.segments:
        own = totals.setdefault(segment.trial, {})
        for span in segment.spans:
            own[span.kind] = own.get(span.kind, 0.0) + span.seconds
    return totals


def saved_by_pruning(trials: Sequence[Trial]) -> float:
    """Seconds that the PRUNED trials would have taken for their remaining evaluations, each at its own pace."""
    saved = 0.0
    for trial in trials:
        made = len(trial["evaluations"])
        if trial["state"] == "PRUNED" and made:
            saved += trial["seconds"] / made * max(trial["config"]["budget"]["evaluations"] - made, 0)
    return saved
