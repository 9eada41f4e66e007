"""Who ran what when: the events of a run as stretches of work on lanes of its nodes, and the time that nobody used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

SETUP, TRAINING, EVALUATION, SAVING, LOST = "set-up", "training", "evaluation", "saving", "lost"
KINDS = (SETUP, TRAINING, EVALUATION, SAVING, LOST)
UNKNOWN_NODE = "node unknown"


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
