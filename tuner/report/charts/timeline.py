"""The timeline: a lane for each slot of each node, a bar for each stretch of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, scrolled, short, table, text
from tuner.report.drawing.scales import Scale
from tuner.report.gather import Run
from tuner.results.text import duration

SETUP, TRAINING, EVALUATION, SAVING, LOST = "set-up", "training", "evaluation", "saving", "lost"
KINDS = (SETUP, TRAINING, EVALUATION, SAVING, LOST)
UNKNOWN_NODE = "node unknown"

WIDTH, LEFT, TOP, FOOT = 1120.0, 150.0, 8.0, 30.0
LANE = 18.0
MOST_SPANS = 3000
"""Above which training and evaluation of a segment are one bar."""
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800)


def section(run: Run, found: Schedule | None) -> list[Element]:
    if found is None:
        sentence = "Who ran what when was not recorded: the run has no timeline.jsonl, which searches of this version write."
        return [element("p", sentence, class_="none")]
    if not found.segments:
        return [element("p", "No trial has been handed out yet.", class_="none")]
    used = 100 * found.held_s / found.slot_s if found.slot_s else 0.0
    retries = f"{found.n_retries} time{'s' if found.n_retries != 1 else ''} a process died and its trial was started again"
    told = (
        f"{len(found.sessions)} session{'s' if len(found.sessions) > 1 else ''}, {duration(_total(found))} in all; "
        f"trials held {used:.0f} % of the slots' time; {retries if found.n_retries else 'no trial was started again'}."
    )
    legend = element("ul", [element("li", element("span", class_=f"swatch k-{_word(k)}"), k) for k in KINDS], class_="legend")
    caption = (
        "Time of the sessions, one after the other; a dashed line is a new session. Set-up is from when a trial is handed out "
        "until its gang stands; lost is work that led to no evaluation."
    )
    svg = scrolled("Timeline of the cluster", draw(found, run.champion_number))
    return [element("p", told), legend, figure("", [svg], caption, _alternative(found))]


def _total(found: Schedule) -> float:
    return sum(end - begin for begin, end, _ in found.sessions)


def draw(found: Schedule, champion: int | None) -> Element:
    lane_of = {lane: i for i, lane in enumerate(found.lanes)}
    height = TOP + LANE * len(found.lanes) + FOOT
    x = Scale(0.0, max(_total(found), 1e-3), LEFT, WIDTH - 14)
    is_fine = sum(len(segment.spans) for segment in found.segments) <= MOST_SPANS
    bars = []
    for segment in found.segments:
        y = TOP + LANE * lane_of[segment.node, segment.lane]
        title = element("title", _told(segment))
        spans = segment.spans if is_fine else _merged(segment.spans)
        parts = [
            element(
                "rect",
                x=x(elapsed(found, span.begin)),
                width=max(x(elapsed(found, span.end)) - x(elapsed(found, span.begin)), 0.4),
                y=y + 2,
                height=LANE - 4,
                class_=f"k-{_word(span.kind)}",
            )
            for span in spans
        ]
        state = segment.ended_as.lower().replace(" ", "-")
        group = element("g", title, parts, class_=f"bar {state}{' champion' if segment.trial == champion else ''}")
        group.set("data-trial", str(segment.trial))
        bars.append(group)
    return drawing("Timeline of the trials", _frame(found, x, height), bars, width=WIDTH, height=height, class_="wide")


def _frame(found: Schedule, x: Scale, height: float) -> list[Element]:
    """Lanes' names, times, and where each later session begins."""
    parts: list[Element] = []
    for i, (node, lane) in enumerate(found.lanes):
        name = f"{short(node, 18)} · {lane + 1}"
        parts.append(text(name, LEFT - 8, TOP + LANE * (i + 0.5) + 4, "end"))
        parts.append(element("rect", x=LEFT, width=x.end - LEFT, y=TOP + LANE * i + 2, height=LANE - 4, class_="lane"))
    bottom = height - FOOT
    step = next((step for step in STEPS_S if x.high / step <= 8), STEPS_S[-1])
    for k in range(int(x.high / step) + 1):
        parts.append(element("line", x1=x(k * step), x2=x(k * step), y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(text(duration(k * step), x(k * step), bottom + 16, "end" if x(k * step) > x.end - 20 else "middle"))
    parts.append(text("h:mm:ss of searching", WIDTH - 14, height - 2, "end", "name"))
    for begin, _, _ in found.sessions[1:]:
        at = x(elapsed(found, begin))
        parts.append(element("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="session"))
    return parts


def elapsed(found: Schedule, at: float) -> float:
    """Seconds of searching until a moment: the time between sessions does not count."""
    return sum(min(max(at - begin, 0.0), end - begin) for begin, end, _ in found.sessions)


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        kind = TRAINING if span.kind == EVALUATION else span.kind
        if merged and merged[-1].kind == kind:
            merged[-1] = Span(kind, merged[-1].begin, span.end)
        else:
            merged.append(Span(kind, span.begin, span.end))
    return merged


def _word(kind: str) -> str:
    return kind.replace("-", "")


def _seconds(segment: Segment, kind: str) -> float:
    return sum(span.seconds for span in segment.spans if span.kind == kind)


def _told(segment: Segment) -> str:
    parts = ", ".join(f"{kind} {duration(s)}" for kind in KINDS if (s := _seconds(segment, kind)) >= 0.5)
    return f"trial {segment.trial} on {segment.node}: {parts or 'at once'}; {segment.ended_as}"


def _alternative(found: Schedule) -> Element:
    rows = [
        [str(one.trial), one.node, one.ended_as, duration(elapsed(found, one.begin)), duration(elapsed(found, one.end))]
        + [f"{_seconds(one, kind):.1f}" for kind in KINDS]
        for one in found.segments
    ]
    head = ("trial", "node", "ended as", "from", "to", *(f"{kind}, s" for kind in KINDS))
    return table(head, rows, "Stretches of work", n_words=3)


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
    """A trial with a gang, from when it was handed out until it gave it back."""

    trial: int
    node: str
    ended_as: str
    """COMPLETE, PRUNED or FAIL; `died`, `interrupted` or another word where it goes on later; `cut off` by the end of its
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


@dataclass(frozen=True)
class Schedule:
    """A whole run."""

    sessions: tuple[tuple[float, float, int], ...]
    """When each began and ended, and how many trials it ran at once at most."""
    segments: tuple[Segment, ...]
    lanes: tuple[tuple[str, int], ...]
    """Every node's lanes, in order."""
    gang: Mapping[str, float]
    """n_workers, cpus_per_worker and gpus_per_worker of a trial; empty where unknown."""

    @property
    def n_retries(self) -> int:
        """Times that a trial's process died and it was started again."""
        return sum(segment.ended_as == "died" for segment in self.segments)

    @property
    def slot_s(self) -> float:
        """Seconds that the sessions offered, summed over slots."""
        return sum(n_slots * (end - begin) for begin, end, n_slots in self.sessions)

    @property
    def held_s(self) -> float:
        return sum(segment.end - segment.begin for segment in self.segments)

    @property
    def idle_s(self) -> float:
        """Of `slot_s`, what no trial held."""
        return max(self.slot_s - self.held_s, 0.0)


@dataclass
class _Open:
    """A segment that has not ended yet."""

    asked: float
    node: str = UNKNOWN_NODE
    started: float | None = None
    marks: tuple[tuple[float, float], ...] = ()
    """When each evaluation came, and how long it took."""


class _Reader:
    """Goes through the events once."""

    def __init__(self) -> None:
        self.open: dict[int, _Open] = {}
        self.sessions: list[tuple[float, float, int]] = []
        self.segments: list[Segment] = []
        self.gang: Mapping[str, float] = {}
        self.died: dict[int, float] = {}
        self.last = 0.0

    def read(self, event: Mapping[str, Any]) -> None:
        kind, at = event["event"], max(float(event["at"]), self.last)  # a clock that is set back
        number = event.get("trial", -1)
        if kind == "began":
            self.end_session("cut off", self.last)
            self.sessions.append((at, at, int(event.get("n_slots") or 1)))
            self.gang = event.get("shape") or {}
        self.last = at
        if kind == "asked":
            self.open[number] = _Open(at)
        elif kind == "started":
            self._start(number, at)
        elif kind == "placed" and number in self.open:
            self.open[number].node = str(event.get("node") or UNKNOWN_NODE)
        elif kind == "evaluated" and number in self.open:
            self.open[number].marks += ((at, float(event.get("evaluation_s") or 0.0)),)
        elif kind in ("left", "finished") and number in self.open:
            self.close(number, at, str(event.get("why") or event.get("state") or kind))
        if kind == "ended":
            self.end_session("interrupted", at)
        if self.sessions:
            self.sessions[-1] = (self.sessions[-1][0], at, self.sessions[-1][2])

    def _start(self, number: int, at: float) -> None:
        if number in self.open and self.open[number].started is not None:  # nobody told of its end
            marks = self.open[number].marks
            self.close(number, marks[-1][0] if marks else at, "died")
        opened = self.open.setdefault(number, _Open(self.died.pop(number, at)))
        opened.started = at

    def close(self, number: int, at: float, ended_as: str) -> None:
        opened = self.open.pop(number)
        spans = _spans(opened, at, ended_as)
        if spans:
            self.segments.append(Segment(number, opened.node, ended_as, spans))
        if ended_as == "died":
            self.died[number] = at

    def end_session(self, ended_as: str, at: float) -> None:
        for number in list(self.open):
            self.close(number, at, ended_as)
        self.died.clear()


def _spans(opened: _Open, end: float, ended_as: str) -> tuple[Span, ...]:
    """What an open segment spent its time on, if it ends at `end`."""
    at = opened.started if opened.started is not None else end
    spans = [Span(SETUP, opened.asked, at)]
    for mark, evaluation_s in opened.marks:
        turn = max(at, mark - evaluation_s)
        spans += [Span(TRAINING, at, turn), Span(EVALUATION, turn, mark)]
        at = mark
    rest = TRAINING if ended_as == "running" else LOST if ended_as in ("FAIL", "died", "cut off") else SAVING
    spans.append(Span(rest, at, end))
    return tuple(span for span in spans if span.seconds > 0)


def schedule(events: Sequence[Mapping[str, Any]], now: float | None = None) -> Schedule | None:
    """Of the events of a run, in their order; None without any. What is open at their end runs until `now`, where that is
    given, else it was cut off at the last event."""
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


def _with_lanes(segments: Sequence[Segment]) -> list[Segment]:
    """Each on the first lane of its node that is free."""
    free: dict[str, list[float]] = {}
    placed = []
    for segment in segments:
        ends = free.setdefault(segment.node, [])
        lane = next((i for i, end in enumerate(ends) if end <= segment.begin + 1e-6), len(ends))
        ends[lane : lane + 1] = [segment.end]
        placed.append(replace(segment, lane=lane))
    return placed
