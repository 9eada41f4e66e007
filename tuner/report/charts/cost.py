"""The cost: the gangs' time by state and kind of work, and what pruning and repeats saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import plotly.graph_objects as go

from tuner.report.charts.timeline import EVALUATION, KINDS, TRAINING, Schedule, schedule
from tuner.report.gather import Run, Trial
from tuner.report.html import absent, element, figure, table
from tuner.report.plot import QUIET, Trace, axis, plot
from tuner.results.text import duration

OTHERS = "others"
"""Trainings that are no trials of the search, such as finalists on fresh seeds."""
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")
IDLE = "idle"


def section(run: Run) -> list[Element]:
    spent = cost(run, schedule(run.events, run.now))
    if not spent.total_s:
        return absent("Nothing was spent yet.")
    caption = (
        "Seconds of gangs. The saving is an estimate: what pruned trials had left, each at its own pace until then; their last "
        "evaluation would have been on all of select, so the true saving is rather larger."
        if spent.idle_s is not None
        else "Training and evaluation as recorded with the trials: without a timeline set-up and idle time are unknown."
    )
    rows = [*(row.state.lower() for row in spent.rows), *([IDLE] if spent.idle_s else [])]
    chart = plot(draw(spent), f"Where the time went: {', '.join(rows)}", 120 + 26 * len(rows))
    return [element("p", " ".join(_summary(spent))), figure("", [chart], caption, _alternative(spent))]


def _summary(spent: Cost) -> list[str]:
    unit = f"{spent.unit}-hours"
    sentences = [f"{spent.hours(spent.total_s):.2f} {unit} in all ({duration(spent.total_s)} of gangs)."]
    if spent.saved_by_pruning_s:
        sentences.append(
            f"Pruning saved about {spent.hours(spent.saved_by_pruning_s):.2f} {unit}: without it the trials would have cost "
            f"{100 * spent.saved_by_pruning_s / spent.total_s:.0f} % more."
        )
    if spent.n_repeats:
        hours = spent.hours(spent.saved_by_repeats_s)
        sentences.append(f"{spent.n_repeats} repeated configurations were not trained again, which saved {hours:.2f} {unit}.")
    if spent.n_unrecorded and spent.idle_s is not None:
        sentences.append(f"{spent.n_unrecorded} trials are older than the timeline: they count with their own seconds.")
    return sentences


def draw(spent: Cost) -> go.Figure:
    """A bar for each state, with a part for each kind of work."""
    states = [row.state.lower() for row in spent.rows]
    bars: list[tuple[str, list[str], list[float], Trace]] = [
        (kind, states, [spent.hours(row.seconds[kind]) for row in spent.rows], {"color": colour})
        for kind, colour in KINDS.items()
    ]
    if spent.idle_s:
        bars.append((IDLE, [IDLE], [spent.hours(spent.idle_s)], {"color": QUIET, "opacity": 0.4}))
    traces = [
        {"type": "bar", "orientation": "h", "name": name, "y": rows, "x": hours, "marker": marker}
        for name, rows, hours, marker in bars
    ]
    y_axis = {"autorange": "reversed", "showgrid": False}
    return go.Figure(traces, {"barmode": "stack", "xaxis": axis(f"{spent.unit}-hours"), "yaxis": y_axis})


def _alternative(spent: Cost) -> Element:
    rows = [([row.state, str(row.n), *map(duration, row.seconds.values())], row.total_s) for row in spent.rows]
    if spent.idle_s is not None:
        rows.append(([IDLE, *"–" * (1 + len(KINDS))], spent.idle_s))
    cells = [[*row, duration(total_s), f"{spent.hours(total_s):.3f}"] for row, total_s in rows]
    return table(("state", "trials", *KINDS, "in all", f"{spent.unit}-hours"), cells, "Cost by state")


@dataclass(frozen=True)
class Row:
    """The trials of one state."""

    state: str
    n: int
    seconds: Mapping[str, float]
    """By kind of work, in the order of `KINDS`; without a timeline only training and evaluation are known."""

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Cost:
    """The cost of a run, in seconds of gangs."""

    rows: tuple[Row, ...]
    idle_s: float | None
    """Seconds of empty slots; None without a timeline."""
    per_gang: float
    """GPUs of a gang, or CPUs if it has no GPU; 1 where unknown."""
    unit: str
    """`GPU`, `CPU` or `gang`."""
    saved_by_pruning_s: float
    saved_by_repeats_s: float
    n_repeats: int
    n_unrecorded: int
    """Trained trials that are missing in the timeline."""

    @property
    def total_s(self) -> float:
        return sum(row.total_s for row in self.rows) + (self.idle_s or 0.0)

    def hours(self, seconds: float) -> float:
        """GPU-hours or CPU-hours of seconds of gangs."""
        return seconds * self.per_gang / 3600


def cost(run: Run, history: Schedule | None) -> Cost:
    """The cost of all trials, from the timeline if there is one, else from the trials' own seconds."""
    recorded: dict[int, dict[str, float]] = {}
    for segment in history.segments if history else ():
        seconds = recorded.setdefault(segment.trial, dict.fromkeys(KINDS, 0.0))
        for span in segment.spans:
            seconds[span.kind] += span.seconds
    by_number = {trial["number"]: trial for trial in run.trials}
    others = [seconds for number, seconds in recorded.items() if number not in by_number]
    rows = [
        _row(state, [recorded.get(trial["number"]) or _measured(trial) for trial in run.counted if trial["state"] == state])
        for state in STATES
    ]
    gang = history.gang if history else {}
    gpus, cpus = (gang.get("n_workers", 1) * gang.get(name, 0) for name in ("gpus_per_worker", "cpus_per_worker"))
    repeats = [trial for trial in run.trials if trial.get("same_as") is not None]
    return Cost(
        rows=tuple(row for row in (*rows, _row(OTHERS, others)) if row.n),
        idle_s=None if history is None else history.idle_s,
        per_gang=gpus or cpus or 1,
        unit="GPU" if gpus else "CPU" if cpus else "gang",
        saved_by_pruning_s=saved_by_pruning(run.counted),
        saved_by_repeats_s=sum(by_number[trial["same_as"]]["seconds"] for trial in repeats if trial["same_as"] in by_number),
        n_repeats=len(repeats),
        n_unrecorded=0 if history is None else sum(trial["number"] not in recorded for trial in run.counted),
    )


def _row(state: str, trials: Sequence[Mapping[str, float]]) -> Row:
    return Row(state, len(trials), {kind: sum(seconds.get(kind, 0.0) for seconds in trials) for kind in KINDS})


def _measured(trial: Trial) -> dict[str, float]:
    """A trial's own seconds by kind of work."""
    evaluation_s = sum(evaluation.get("evaluation_s") or 0.0 for evaluation in trial["evaluations"])
    return {TRAINING: trial["seconds"] - evaluation_s, EVALUATION: evaluation_s}


def saved_by_pruning(trials: Sequence[Trial]) -> float:
    """Seconds that the PRUNED trials would have taken for their remaining evaluations, each at its own pace."""
    saved = 0.0
    for trial in trials:
        n = len(trial["evaluations"])
        if trial["state"] == "PRUNED" and n:
            saved += trial["seconds"] / n * max(trial["config"]["budget"]["evaluations"] - n, 0)
    return saved
