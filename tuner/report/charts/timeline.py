"""The timeline: a lane for each slot of each node, a bar for each segment of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element

from tuner.report.gather import Run
from tuner.report.html import absent, element, figure, legend, scrolled, table
from tuner.report.svg import Scale, drawing, short, text
from tuner.results.text import duration

SETUP, TRAINING, EVALUATION, SAVING, LOST = "set-up", "training", "evaluation", "saving", "lost"
KINDS = {kind: f"k-{kind.replace('-', '')}" for kind in (SETUP, TRAINING, EVALUATION, SAVING, LOST)}
"""Kinds of work and their classes."""
UNKNOWN_NODE = "node unknown"

WIDTH, LEFT, TOP, FOOT = 1120.0, 150.0, 8.0, 30.0
LANE = 18.0
MOST_SPANS = 3000
"""Above which training and evaluation of a segment are one bar."""
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800)


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
    colours = legend((class_, kind) for kind, class_ in KINDS.items())
    chart = scrolled("Timeline of the cluster", _draw(history))
    return [element("p", summary), colours, figure("", [chart], caption, _alternative(history))]


def _draw(history: Schedule) -> Element:
    lane_of = {lane: i for i, lane in enumerate(history.lanes)}
    height = TOP + LANE * len(history.lanes) + FOOT
    x = Scale(0.0, max(history.total_s, 1e-3), LEFT, WIDTH - 14)
    is_fine = sum(len(segment.spans) for segment in history.segments) <= MOST_SPANS
    bars = []
    for segment in history.segments:
        y = TOP + LANE * lane_of[segment.node, segment.lane]
        times = ", ".join(f"{kind} {duration(s)}" for kind in KINDS if (s := segment.seconds(kind)) >= 0.5)
        title = f"trial {segment.trial} on {segment.node}: {times or 'under 1 s'}; {segment.ended_as}"
        parts = []
        for span in segment.spans if is_fine else _merged(segment.spans):
            start, end = (x(history.elapsed(at)) for at in (span.begin, span.end))
            width = max(end - start, 0.4)
            parts.append(element("rect", x=start, width=width, y=y + 2, height=LANE - 4, class_=KINDS[span.kind]))
        classes = f"bar {segment.ended_as.lower().replace(' ', '-')}"
        bars.append(element("g", element("title", title), parts, class_=classes, data_trial=segment.trial))
    return drawing("Timeline of the trials", _frame(history, x, height), bars, width=WIDTH, height=height, class_="wide")


def _frame(history: Schedule, x: Scale, height: float) -> list[Element]:
    """Names of the lanes, the time axis, and a line at the beginning of each later session."""
    parts: list[Element] = []
    for i, (node, lane) in enumerate(history.lanes):
        name = f"{short(node, 18)} · {lane + 1}"
        parts.append(text(name, LEFT - 8, TOP + LANE * (i + 0.5) + 4, "end"))
        parts.append(element("rect", x=LEFT, width=x.end - LEFT, y=TOP + LANE * i + 2, height=LANE - 4, class_="lane"))
    bottom = height - FOOT
    step = next((step for step in STEPS_S if x.high / step <= 8), STEPS_S[-1])
    for seconds in range(0, int(x.high) + 1, step):
        at = x(seconds)
        parts.append(element("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(text(duration(seconds), at, bottom + 16, "end" if at > x.end - 20 else "middle"))
    parts.append(text("h:mm:ss of searching", WIDTH - 14, height - 2, "end", "name"))
    starts = [x(history.elapsed(begin)) for begin, _, _ in history.sessions[1:]]
    return parts + [element("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="session") for at in starts]


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
