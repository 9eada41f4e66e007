"""timeline.jsonl: what is written of a search's events, and what the report reads out of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from cluster.shape import GangShape
from model.training.evaluation import Failure
from tests.support import report_runs, samples
from tests.support.bridge_session import Session
from tuner.report.charts.timeline import EVALUATION, LOST, SAVING, SETUP, TRAINING, Schedule, schedule
from tuner.tracking import timeline
from tuner.tracking.events import Broadcast, Observer


def recorder(folder: Path, times: Iterator[float] | None = None) -> timeline.Timeline:
    known: dict[str, Any] = {"seed": 7, "rows": {"sst": {"train": 90}}, "optuna": {"storage": "journal:j", "study_name": "s"}}
    ticks = times or map(float, count(100))
    return timeline.Timeline(folder, GangShape(2, 3, 0.5), known, clock=lambda: next(ticks))


def told(*events: tuple[Any, ...]) -> Schedule:
    """The schedule of (time, event, trial, values) rows."""
    rows = [{"at": float(at), "event": event, "trial": trial, **values} for at, event, trial, values in events]
    found = schedule(rows)
    assert found is not None
    return found


BEGAN = (0, "began", None, {"n_slots": 2, "shape": {"n_workers": 1, "cpus_per_worker": 4, "gpus_per_worker": 0}})


def test_every_event_is_a_line(tmp_path: Path) -> None:
    observer = recorder(tmp_path)
    observer.search_started(samples.facts(tmp_path))
    observer.trial_asked(0)
    observer.trial_started(0, samples.CONFIG)
    observer.trial_placed(0, "node-a")
    observer.evaluated(0, samples.evaluation(1, 0.5), 0.5)
    observer.trial_left(0, "died")
    observer.trial_finished(samples.record(0, score=0.5))
    observer.trial_finished(samples.record(1, score=0.5, same_as=0))
    observer.search_finished({})
    found = timeline.read(tmp_path)
    kinds = ["began", "asked", "started", "placed", "evaluated", "left", "finished", "ended"]
    assert [event["event"] for event in found] == kinds, "a repeat was never run"
    assert [event["at"] for event in found] == [100.0 + i for i in range(8)]
    assert found[0]["shape"] == {"n_workers": 2, "cpus_per_worker": 3, "gpus_per_worker": 0.5, "placement": "pack"}
    assert (found[0]["results"]["seed"], found[0]["results"]["trials"]) == (7, [])
    assert found[4]["seconds"] == 4.0


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / timeline.FILE_NAME
    path.write_text('{"event": "began", "at": 1.0}\n{"event": "asked", "a', encoding="utf-8")
    recorder(tmp_path).trial_asked(3)
    assert [event["event"] for event in timeline.read(tmp_path)] == ["began", "asked"]
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_a_disk_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / timeline.FILE_NAME).mkdir()
    recorder(tmp_path).trial_asked(0)
    assert timeline.read(tmp_path) == []
    assert timeline.read(tmp_path / "nowhere") == []


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    lines = ["3", "[]", '{"event": "asked"}', '{"at": 1}', '{"event": "asked", "at": "noon"}', '{"event": "ended", "at": 2}']
    (tmp_path / timeline.FILE_NAME).write_text("\n".join(lines), encoding="utf-8")
    assert timeline.read(tmp_path) == [{"event": "ended", "at": 2}]


def test_the_bridge_reports_asking_placing_losing_and_leaving(tmp_path: Path) -> None:
    heard: list[tuple[Any, ...]] = []
    session = Session(tmp_path)
    for name in ("trial_asked", "trial_placed", "trial_left"):
        setattr(session.heard, name, lambda *values, name=name: heard.append((name, *values)))
    session.bridge.ask("a")
    session.bridge.on_start(0)
    session.bridge.on_evaluation(0, samples.evaluation(1, 0.5), None, "node-a")
    session.bridge.on_evaluation(0, samples.evaluation(2, 0.5), None, "node-a")
    session.bridge.on_recover(0, "killed")
    session.bridge.on_evaluation(0, samples.evaluation(2, 0.5), None, "node-b")
    assert heard == [
        ("trial_asked", 0),
        ("trial_placed", 0, "node-a"),
        ("trial_left", 0, "died"),
        ("trial_placed", 0, "node-b"),
    ]
    assert session.bridge.on_evaluation(0, Failure("a rank failed", 10), None, "node-b")


def test_a_trial_is_set_up_trains_evaluates_and_is_saved() -> None:
    found = told(
        BEGAN,
        (1, "asked", 0, {}),
        (3, "started", 0, {}),
        (13, "placed", 0, {"node": "a"}),
        (13, "evaluated", 0, {"evaluation_s": 2.0}),
        (20, "evaluated", 0, {"evaluation_s": 1.0}),
        (21, "finished", 0, {"state": "COMPLETE"}),
        (30, "ended", None, {}),
    )
    (segment,) = found.segments
    assert (segment.node, segment.ended_as) == ("a", "COMPLETE")
    spans = [(span.kind, span.begin, span.end) for span in segment.spans]
    assert spans == [
        (SETUP, 1, 3),
        (TRAINING, 3, 11),
        (EVALUATION, 11, 13),
        (TRAINING, 13, 19),
        (EVALUATION, 19, 20),
        (SAVING, 20, 21),
    ]
    assert (found.slot_s, found.held_s, found.idle_s) == (60, 20, 40)


def test_a_trial_that_died_is_two_segments_and_a_retry() -> None:
    found = told(
        BEGAN,
        (1, "asked", 0, {}),
        (2, "started", 0, {}),
        (6, "evaluated", 0, {}),
        (9, "left", 0, {"why": "died"}),
        (11, "started", 0, {}),
        (15, "finished", 0, {"state": "FAIL"}),
    )
    first, second = found.segments
    assert (first.ended_as, second.ended_as, found.n_retries) == ("died", "FAIL", 1)
    assert first.spans[-1].kind == LOST
    assert first.spans[-1].seconds == 3
    assert (second.spans[0].kind, second.spans[0].seconds) == (SETUP, 2), "from its death until it stood again"


def test_a_trial_that_paused_and_was_promoted_holds_nothing_between() -> None:
    found = told(
        BEGAN,
        (0, "asked", 0, {}),
        (0, "started", 0, {}),
        (5, "evaluated", 0, {}),
        (5, "left", 0, {"why": "paused"}),
        (50, "started", 0, {}),
        (60, "evaluated", 0, {}),
        (60, "finished", 0, {"state": "COMPLETE"}),
    )
    assert [(one.ended_as, one.begin, one.end) for one in found.segments] == [("paused", 0, 5), ("COMPLETE", 50, 60)]
    assert (found.n_retries, found.held_s) == (0, 15)


def test_a_killed_session_is_cut_off_and_the_next_one_goes_on() -> None:
    found = told(
        BEGAN,
        (1, "asked", 0, {}),
        (1, "started", 0, {}),
        (5, "evaluated", 0, {}),
        (8, "asked", 1, {}),
        (1000, *BEGAN[1:]),
        (1001, "asked", 0, {}),
        (1002, "started", 0, {}),
        (1006, "finished", 0, {"state": "COMPLETE"}),
        (1007, "ended", None, {}),
    )
    assert [(begin, end) for begin, end, _ in found.sessions] == [(0, 8), (1000, 1007)]
    assert [(one.trial, one.ended_as, one.end) for one in found.segments] == [(0, "cut off", 8), (0, "COMPLETE", 1006)]


def test_what_runs_runs_until_now() -> None:
    rows = [{"at": 0.0, "event": "began", "n_slots": 1}, {"at": 1.0, "event": "asked", "trial": 4}]
    rows.append({"at": 2.0, "event": "started", "trial": 4})
    found = schedule(rows, now=10.0)
    assert found is not None
    assert [(one.ended_as, one.end) for one in found.segments] == [("running", 10.0)]
    assert found.sessions == ((0.0, 10.0, 1),)
    assert schedule([]) is None


def test_segments_of_a_lane_never_overlap() -> None:
    found = schedule(report_runs.events(report_runs.records(30, seed=2), n_slots=4))
    assert found is not None
    for lane in found.lanes:
        own = [one for one in found.segments if (one.node, one.lane) == lane]
        assert all(a.end <= b.begin + 1e-6 for a, b in pairwise(own))
    assert sum(one.ended_as == "COMPLETE" for one in found.segments) > 10
    assert found.slot_s == pytest.approx(found.held_s + found.idle_s)


def test_a_clock_that_is_set_back_makes_no_negative_time() -> None:
    found = told(BEGAN, (10, "asked", 0, {}), (4, "started", 0, {}), (6, "evaluated", 0, {}), (12, "finished", 0, {}))
    (segment,) = found.segments
    assert all(span.seconds >= 0 for span in segment.spans)
    assert (segment.begin, segment.end) == (10, 12)


def test_a_broadcast_passes_them_on(tmp_path: Path) -> None:
    heard = Broadcast(recorder(tmp_path), Observer())
    heard.trial_asked(1)
    heard.trial_placed(1, "node-a")
    heard.trial_left(1, "died")
    assert [event["event"] for event in timeline.read(tmp_path)] == ["asked", "placed", "left"]
