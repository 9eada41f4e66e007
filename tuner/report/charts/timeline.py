"""The timeline: a lane for each slot of each node, a bar for each stretch of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, scrolled, short, table, text
from tuner.report.drawing.scales import Scale
from tuner.report.numbers.timeline import EVALUATION, KINDS, TRAINING, Schedule, Segment, Span
from tuner.report.run import Run
from tuner.results.summary import duration

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
