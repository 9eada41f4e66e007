"""The timeline: a lane for each slot of each node, a bar for each segment of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element

import plotly.graph_objects as go

from tuner.report.gather import Run
from tuner.report.html import absent, element, figure, scrolled, table
from tuner.report.plot import QUIET, axis, plot, shown
from tuner.results.text import duration

SETUP, TRAINING, EVALUATION, SAVING, LOST = "set-up", "training", "evaluation", "saving", "lost"
KINDS = {SETUP: "#b9a16a", TRAINING: "#3b82c4", EVALUATION: "#84b4e0", SAVING: QUIET, LOST: "#d2556b"}
"""Kinds of work and their colours."""
UNKNOWN_NODE = "node unknown"
MOST_SPANS = 3000
"""Above which training and evaluation of a segment are one bar."""
UNITS = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
"""Of the time axis: the largest of which the search took two."""


def section(run: Run) -> list[Element]:
    history = schedule(run.events, run.now)
    if history is None:
        return absent("No times were recorded: the run has no timeline.jsonl, which searches of this version write.")
    if not history.segments:
        return absent("No trial has been started yet.")
    used = 100 * history.held_s / history.slot_s if history.slot_s else 0.0
    retries = "no trial was started again"
    if history.n_retries:
        retries = (
            f"{history.n_retries} time{'s' if history.n_retries > 1 else ''} a process died and its trial was started again"
        )
    summary = (
        f"{len(history.sessions)} session{'s' if len(history.sessions) > 1 else ''}, {duration(history.total_s)} in all; "
        f"trials held {used:.0f} % of the slots' time; {retries}."
    )
    caption = (
        "Time of the sessions, one after the other; a dashed line is a new session. Set-up is from the assignment of a trial "
        "until its processes are ready; lost is work that led to no evaluation."
    )
    drawing = plot(draw(history), "Timeline of the trials", 110 + 20 * len(history.lanes), is_wide=True)
    chart = scrolled("Timeline of the cluster", drawing)
    return [element("p", summary), figure("", [chart], caption, _alternative(history))]


def draw(history: Schedule) -> go.Figure:
    """A bar for each span, in a row for each lane; a dashed line at the beginning of each later session."""
    lane_of = {lane: i for i, lane in enumerate(history.lanes)}
    unit = next((unit for unit, s in UNITS.items() if history.total_s >= 2 * s), "seconds")
    is_fine = sum(len(segment.spans) for segment in history.segments) <= MOST_SPANS
    spans = [(one, span) for one in history.segments for span in (one.spans if is_fine else _merged(one.spans))]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": kind,
            "base": [history.elapsed(span.begin) / UNITS[unit] for _, span in of_kind],
            "x": [span.seconds / UNITS[unit] for _, span in of_kind],
            "y": [lane_of[one.node, one.lane] for one, _ in of_kind],
            "customdata": [one.trial for one, _ in of_kind],
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"%{{hovertext}}<br>{kind}: %{{x:.3g}} {unit}<extra></extra>",
        }
        for kind, colour in KINDS.items()
        if (of_kind := [(one, span) for one, span in spans if span.kind == kind])
    ]
    starts = [history.elapsed(begin) / UNITS[unit] for begin, _, _ in history.sessions[1:]]
    dashed = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "width": 1, "color": QUIET}}
    names = [f"{shown(node, 18)} · {lane + 1}" for node, lane in history.lanes]
    layout = {
        "barmode": "overlay",
        "xaxis": axis(f"{unit} of searching"),
        "yaxis": {"tickvals": list(lane_of.values()), "ticktext": names, "autorange": "reversed", "showgrid": False},
        "shapes": [{**dashed, "x0": at, "x1": at} for at in starts],
    }
    return go.Figure(traces, layout)


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Neighbouring spans of training and evaluation as one of training."""
    groups = [
        (kind, list(same)) for kind, same in groupby(spans, lambda span: TRAINING if span.kind == EVALUATION else span.kind)
    ]
    return [Span(kind, same[0].begin, same[-1].end) for kind, same in groups]


def _alternative(history: Schedule) -> Element:
    rows = [
        [str(one.trial), one.node, one.ended_as, *(duration(history.elapsed(at)) for at in (one.begin, one.end))]
        + [f"{one.seconds(kind):.1f}" for kind in KINDS]
        for one in history.segments
    ]
    head = ("trial", "node", "ended as", "from", "to", *(f"{kind}, s" for kind in KINDS))
    return table(head, rows, "Segments", n_words=3)


@dataclass(frozen=True)
class Span:
    """A part of a segment, in seconds since 1970."""

    kind: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Segment:
    """An uninterrupted stretch of a trial on one node, from its assignment until its slot is free again."""

    trial: int
    node: str
    ended_as: str
    """COMPLETE, PRUNED or FAIL; `died`, `interrupted` or another word if it continues later; `cut off` by the end of its
    session; `running`."""
    spans: tuple[Span, ...]
    lane: int = 0
    """Among those of its node."""

    @property
    def begin(self) -> float:
        return self.spans[0].begin

    @property
    def end(self) -> float:
        return self.spans[-1].end

    def seconds(self, kind: str) -> float:
        return sum(span.seconds for span in self.spans if span.kind == kind)


@dataclass(frozen=True)
class Schedule:
    """The segments of a whole run on the lanes of its nodes."""

    sessions: tuple[tuple[float, float, int], ...]
    """Begin and end of each, and its number of slots."""
    segments: tuple[Segment, ...]
    lanes: tuple[tuple[str, int], ...]
    """Every node's lanes, in order."""
    gang: Mapping[str, float]
    """n_workers, cpus_per_worker and gpus_per_worker of a trial; empty where unknown."""

    @property
    def n_retries(self) -> int:
        """Restarts of trials after the death of a process."""
        return sum(segment.ended_as == "died" for segment in self.segments)

    @property
    def total_s(self) -> float:
        """Seconds of searching, without the time between sessions."""
        return sum(end - begin for begin, end, _ in self.sessions)

    @property
    def slot_s(self) -> float:
        """Seconds of all slots."""
        return sum(n_slots * (end - begin) for begin, end, n_slots in self.sessions)

    @property
    def held_s(self) -> float:
        """Seconds of slots that had a trial."""
        return sum(segment.end - segment.begin for segment in self.segments)

    @property
    def idle_s(self) -> float:
        """Seconds of slots without a trial."""
        return max(self.slot_s - self.held_s, 0.0)

    def elapsed(self, at: float) -> float:
        """Seconds of searching until a time, without the time between sessions."""
        return sum(min(max(at - begin, 0.0), end - begin) for begin, end, _ in self.sessions)


def schedule(events: Sequence[Mapping[str, Any]], now: float | None = None) -> Schedule | None:
    """The schedule of a run's events, in their order; None without any.

    Segments still open after the last event end at `now` if it is given, else they are cut off at the last event.
    """
    reader = _Reader()
    for event in events:
        reader.read(event)
    if not reader.sessions:
        return None
    if now is not None:
        begin, end, n_slots = reader.sessions[-1]
        reader.sessions[-1] = (begin, max(now, end), n_slots)
        reader.end_session("running", max(now, reader.last))
    reader.end_session("cut off", reader.last)
    segments = _with_lanes(sorted(reader.segments, key=lambda segment: (segment.begin, segment.trial)))
    lanes = sorted({(segment.node, segment.lane) for segment in segments})
    return Schedule(tuple(reader.sessions), tuple(segments), tuple(lanes), reader.gang)


@dataclass
class _Open:
    """A segment that has not ended yet."""

    at: float
    """End of its last span."""
    node: str = UNKNOWN_NODE
    spans: list[Span] = field(default_factory=list)

    def add(self, kind: str, end: float) -> None:
        self.spans.append(Span(kind, self.at, end))
        self.at = end


class _Reader:
    """Collects sessions and segments from events."""

    def __init__(self) -> None:
        self.open: dict[int, _Open] = {}
        self.sessions: list[tuple[float, float, int]] = []
        self.segments: list[Segment] = []
        self.gang: Mapping[str, float] = {}
        self.died: dict[int, float] = {}
        """When the last process of each trial died in this session."""
        self.last = 0.0

    def read(self, event: Mapping[str, Any]) -> None:
        kind, at = event["event"], max(float(event["at"]), self.last)  # the clock may have been set back
        number = event.get("trial", -1)
        if kind == "began":
            self.end_session("cut off", self.last)
            self.sessions.append((at, at, int(event.get("n_slots") or 1)))
            self.gang = event.get("shape") or {}
        self.last = at
        opened = self.open.get(number)
        if kind == "asked":
            self.open[number] = _Open(at)
        elif kind == "started":
            if opened and opened.spans:  # the end of its previous process was not recorded
                self.close(number, opened.at if len(opened.spans) > 1 else at, "died")
            self.open.setdefault(number, _Open(self.died.pop(number, at))).add(SETUP, at)
        elif opened and kind == "placed":
            opened.node = str(event.get("node") or UNKNOWN_NODE)
        elif opened and kind == "evaluated":
            opened.add(TRAINING, max(opened.at, at - float(event.get("evaluation_s") or 0.0)))
            opened.add(EVALUATION, at)
        elif opened and kind in ("left", "finished"):
            self.close(number, at, str(event.get("why") or event.get("state") or kind))
        elif kind == "ended":
            self.end_session("interrupted", at)
        if self.sessions:
            self.sessions[-1] = (self.sessions[-1][0], at, self.sessions[-1][2])

    def close(self, number: int, at: float, ended_as: str) -> None:
        opened = self.open.pop(number)
        rest = TRAINING if ended_as == "running" else LOST if ended_as in ("FAIL", "died", "cut off") else SAVING
        opened.add(rest if opened.spans else SETUP, at)
        spans = tuple(span for span in opened.spans if span.seconds > 0)
        if spans:
            self.segments.append(Segment(number, opened.node, ended_as, spans))
        if ended_as == "died":
            self.died[number] = at

    def end_session(self, ended_as: str, at: float) -> None:
        for number in list(self.open):
            self.close(number, at, ended_as)
        self.died.clear()


def _with_lanes(segments: Sequence[Segment]) -> list[Segment]:
    """Each segment on the first free lane of its node."""
    free: dict[str, list[float]] = {}
    placed = []
    for segment in segments:
        ends = free.setdefault(segment.node, [])
        lane = next((i for i, end in enumerate(ends) if end <= segment.begin + 1e-6), len(ends))
        ends[lane : lane + 1] = [segment.end]
        placed.append(replace(segment, lane=lane))
    return placed
