"""What a search shows: exact lines, a table that fits, and nothing in it read as markup."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.support import samples
from tuner.config import command_lines as commands
from tuner.results.summary import MAX_ROWS, print_summary
from tuner.results.text import GENERATED_NOTE, duration
from tuner.tracking.events import Broadcast, Observer
from tuner.tracking.progress import make_progress
from tuner.tracking.progress.json_lines import JsonProgress
from tuner.tracking.progress.state import ProgressState, eta_s
from tuner.tracking.progress.terminal import LiveProgress, NullProgress, PlainProgress, live_table, totals

HOSTILE = "[red]boom[/] [/nothing] \x1b[31m\n  second line"


def play(observer: Observer, run_dir: Path) -> None:
    """Two trials at once: trial 0 completes, trial 1 diverges."""
    facts = samples.facts(run_dir)
    first, second = samples.record(0, score=0.6123), samples.record(1, "FAIL", reason=HOSTILE)
    observer.search_started(facts)
    observer.trial_started(0, samples.CONFIG)
    observer.trial_started(1, samples.CONFIG)
    observer.evaluated(0, samples.evaluation(1, 0.5), 0.5)
    observer.trial_finished(first)
    observer.tick()
    observer.evaluated(1, samples.evaluation(1, 0.25), math.nan)
    observer.trial_finished(second)
    observer.search_finished(samples.results(facts, [first, second], first))


def printed(show: Callable[[Console], None], width: int = 80, height: int = 24) -> str:
    """What a terminal of that size is shown, as plain text."""
    console = Console(file=io.StringIO(), width=width, height=height, record=True, force_terminal=True)
    show(console)
    return console.export_text()


def test_a_repeat_is_shown_and_does_not_count(tmp_path: Path) -> None:
    facts = samples.facts(tmp_path / "night")
    first = samples.record(0, score=0.6)
    repeat = samples.record(1, score=0.6, seconds=0.0, same_as=0, reason="the same configuration as trial 0")
    stream = io.StringIO()
    progress = make_progress(quiet=False, json=False, stream=stream)
    progress.search_started(facts)
    progress.trial_started(0, samples.CONFIG)
    progress.trial_finished(first)
    progress.trial_finished(repeat)
    progress.search_finished(samples.results(facts, [first, repeat], first))
    said = stream.getvalue()
    assert "trial 1  COMPLETE  score 0.6000  0.0 s  best 0.6000 (trial 0)  the same configuration as trial 0\n" in said
    assert "1 complete, 0 pruned, 0 failed\n1 repeated: results taken from the trial with the same configuration" in said

    state = ProgressState()
    state.start(facts, 0.0)
    state.trial_started(0)
    state.trial_finished(first)
    state.trial_finished(repeat)
    assert totals(state, 10.0)[0] == "1.0/4 full trials  0 running  0 pruned  0 failed  1 repeated"
    assert state.eta_s(10.0) == 30.0
    assert [row.number for row in state.visible(5)] == [1, 0]


def test_plain_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    play(make_progress(quiet=False, json=False, stream=stream), tmp_path / "night")
    config = "sst+sts  loop_to_max  cosine  lr 2e-05  smart eps 1e-05 lambda 1 K 1"
    assert stream.getvalue().splitlines()[:10] == [
        "search night: space smart_mtl (laptop), 4 full trials' compute, 2 at once",
        "sampler tpe, pruner median, 2 evaluations per trial, score: mean(sst/accuracy, sts/pearson)",
        "data corpus: sst 100 rows, sts 50 rows",
        f"results {tmp_path}/night",
        f"trial 0  started  {config}",
        f"trial 1  started  {config}",
        "trial 0  eval 1/2  step 10  score 0.5000  best -",
        "trial 0  COMPLETE  score 0.6123  8.0 s  best 0.6123 (trial 0)",
        "trial 1  eval 1/2  step 10  score nan  best 0.6123 (trial 0)",
        "trial 1  FAIL  score -  8.0 s  best 0.6123 (trial 0)  [red]boom[/] [/nothing] second line",
    ]


def test_plain_output_holds_no_escape_sequences(tmp_path: Path) -> None:
    stream = io.StringIO()
    play(make_progress(quiet=False, json=False, stream=stream), tmp_path)
    assert "\x1b" not in stream.getvalue()


def test_json_lines_and_nothing_else(tmp_path: Path) -> None:
    stream = io.StringIO()
    play(make_progress(quiet=False, json=True, stream=stream), tmp_path / "night")
    events = [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]
    names = "search_started trial_started trial_started evaluated trial_finished evaluated trial_finished search_finished"
    assert [event["event"] for event in events] == names.split()
    assert (events[0]["name"], events[0]["n_trials"], events[0]["run_dir"]) == ("night", 4, str(tmp_path / "night"))
    assert events[1]["config"] == samples.CONFIG.to_dict()
    assert {"number": 0, "index": 1, "step": 10, "score": 0.5}.items() <= events[3].items()
    assert events[5]["score"] is None
    assert (events[6]["state"], events[6]["reason"]) == ("FAIL", HOSTILE)
    assert events[7]["results"]["champion"]["number"] == 0


def test_quiet_shows_the_summary_alone(tmp_path: Path) -> None:
    stream = io.StringIO()
    play(make_progress(quiet=True, json=False, stream=stream), tmp_path / "night")
    first, *rest = stream.getvalue().splitlines()
    assert first.split()[:3] == ["rank", "trial", "score"]
    assert not any(line.startswith("trial 0") for line in rest)


def test_the_stream_decides_between_table_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress(False, False, Terminal())) is LiveProgress
    assert type(make_progress(False, False, io.StringIO())) is PlainProgress
    assert type(make_progress(True, False, Terminal())) is NullProgress
    assert type(make_progress(True, True, Terminal())) is JsonProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(False, False, Terminal())) is PlainProgress


def test_live_view_follows_a_search_and_gives_the_cursor_back(tmp_path: Path) -> None:
    stream = io.StringIO()
    now = iter(range(100))
    console = Console(file=stream, width=80, height=24, force_terminal=True, no_color=True)
    play(LiveProgress(console, clock=lambda: float(next(now))), tmp_path / "night")
    shown = stream.getvalue()
    assert "1.0/4 full trials  1 running  0 pruned  0 failed" in shown
    assert "best 0.6123 (trial 0)  elapsed" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.parametrize("height", [4, 24, 60])
def test_live_table_of_500_trials_fits(tmp_path: Path, height: int) -> None:
    state = ProgressState()
    state.start(samples.facts(tmp_path, n_trials=500), at_s=0.0)
    for number in range(497):
        state.trial_started(number)
        state.evaluated(number, samples.evaluation(1, 0.1), 0.1)
        state.trial_finished(
            samples.record(number, "FAIL", reason=HOSTILE * 9) if number % 2 else samples.record(number, score=0.2)
        )
    for number in (497, 498, 499):
        state.trial_started(number)
    state.evaluated(498, samples.evaluation(1, 0.4321), 0.4321)
    text = printed(lambda console: console.print(live_table(state, 60.0, console.height)), height=height)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= height
    n_rows = max(1, height - 4)
    expected = [497, 498, 499, *range(496, 0, -1)][:n_rows]
    assert [int(line.split()[0]) for line in lines[1 : 1 + n_rows]] == expected
    assert lines[0].split() == ["trial", "state", "eval", "step", "score", "best", "ETA", "reason"]
    assert lines[-2].rstrip() == "274.3/500 full trials  3 running  0 pruned  248 failed"
    assert lines[-1].rstrip() == "best 0.2000 (trial 0)  elapsed 1:00  ETA 0:49"
    if n_rows > 3:
        assert lines[2].split() == ["498", "running", "1/2", "10/20", "0.4321", "0.4321", "0:04"]
        assert "[red]boom[/]" in text


def test_characters_that_a_stream_lacks_are_written_as_escapes(tmp_path: Path) -> None:
    """A latin terminal, or a log in ASCII, must not end a search with an encoding error."""
    held = io.BytesIO()
    stream = io.TextIOWrapper(held, encoding="ascii")
    failed = samples.record(0, "FAIL", reason="‖δ‖ became nan")
    progress = make_progress(quiet=False, json=False, stream=stream)
    progress.search_started(samples.facts(tmp_path))
    progress.trial_finished(failed)
    stream.flush()
    assert b"\\u2016\\u03b4\\u2016 became nan" in held.getvalue()


def test_totals(tmp_path: Path) -> None:
    state = ProgressState()
    state.start(samples.facts(tmp_path), at_s=100.0)
    assert totals(state, 101.0) == (
        "0.0/4 full trials  0 running  0 pruned  0 failed",
        "best -  elapsed 0:01  ETA -",
    )
    state.trial_started(0)
    state.trial_finished(samples.record(0, "PRUNED", 0.5))
    state.trial_started(1)
    state.evaluated(1, samples.evaluation(1, 0.5), 0.5)
    assert totals(state, 160.0)[0] == "1.5/4 full trials  1 running  1 pruned  0 failed"
    assert totals(state, 160.0)[1] == "best -  elapsed 1:00  ETA 1:40"  # 1.5 of 4 trials took 60 s


def test_earlier_trials_count_as_done_but_not_as_pace(tmp_path: Path) -> None:
    state = ProgressState()
    earlier = (samples.record(0, score=0.8), samples.record(1, "FAIL"))
    state.start(samples.facts(tmp_path, finished=earlier), at_s=0.0)
    assert state.eta_s(5.0) is None
    state.trial_started(2)
    state.trial_finished(samples.record(2, score=0.5))
    assert state.eta_s(30.0) == pytest.approx(57.0)  # 1 of the 2.9 full trials that were left: a failure used 0.1
    assert state.best is not None
    assert state.best.number == 0
    assert state.counts() == {"COMPLETE": 2, "FAIL": 1}


def test_eta() -> None:
    assert eta_s(60.0, 0.25) == 180.0
    assert eta_s(60.0, 1.0) == 0.0
    assert eta_s(60.0, 0.0) is None


def test_duration() -> None:
    assert [duration(s) for s in (0.4, 59.6, 3723.0, None, math.inf)] == ["0:00", "1:00", "1:02:03", "-", "-"]


def test_summary_ranks_and_names_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = samples.facts(tmp_path / "runs" / "night")
    records = [samples.record(0, score=0.4), samples.record(1, score=0.6), samples.record(2, "PRUNED", 0.9)]
    shown = printed(lambda console: print_summary(console, samples.results(plan, records, records[1])), width=100)
    lines = shown.splitlines()
    assert lines[0].split() == [
        "rank",
        "trial",
        "score",
        "sst",
        "sts",
        "mixture",
        "mixing",
        "pairs",
        "smart",
        "lr",
        "state",
        "s",
    ]
    row = "1 1 0.6000 0.6000 0.5000 sst sts loop_to_max cosine 1e-05/1/1 2e-05 COMPLETE 8"
    assert [line.split() for line in lines[1:2]] == [row.split()]
    assert [line.split()[:2] for line in lines[1:4]] == [["1", "1"], ["2", "0"], ["-", "2"]]
    assert "2 complete, 1 pruned, 0 failed" in lines
    assert "champion: trial 1  score 0.6000  sst/accuracy 0.6000  sts/pearson 0.5000" in lines
    python = commands.python()
    database = "--backend-store-uri sqlite:////somewhere/mlflow.db --host 127.0.0.1"
    assert f"MLflow:   {python} -m mlflow ui {database}" in lines
    assert f'use it:   {python} -m model.predict --model runs/night/champion --task sst "text"' in lines
    assert "report:   runs/night/report.html" in lines
    assert "--resume" not in shown


def test_summary_shows_the_alarms(tmp_path: Path) -> None:
    looks = [samples.unhealthy(1, 0.3), samples.evaluation(2, 0.4)]
    ill = {"evaluations": [look.to_dict() | {"score": 0.4} for look in looks]}
    line = "(sst): R_s is 0: the regulariser does nothing"
    for n_ill, expected in ((0, None), (1, "smart-no-op in trial 0 "), (2, "smart-no-op in 2 trials, such as 0 ")):
        records = [samples.record(number, score=0.4, **(ill if number < n_ill else {})) for number in range(3)]
        found = samples.results(samples.facts(tmp_path), records, records[2])
        assert [trial["alarms"] for trial in found["trials"]] == [{"smart-no-op": ["sst"]}] * n_ill + [{}] * (3 - n_ill)
        shown = printed(lambda console, found=found: print_summary(console, found), width=100).splitlines()
        told = [text for text in shown if text.startswith("smart-")]
        assert told == ([expected + line] if expected else [])


def test_summary_of_an_interrupted_search_has_the_command_to_resume(tmp_path: Path) -> None:
    cut = [samples.record(number, "RUNNING", score=0.5) for number in (1, 4)]
    found = samples.results(samples.facts(tmp_path / "my night"), cut, None, finished=None)
    assert (found["trials"], found["unfinished"]) == ([], [1, 4])
    shown = printed(lambda console: print_summary(console, found))
    assert "2 unfinished: a resumed search continues them" in shown
    assert f"go on:    {commands.python()} -m tuner.search --resume 'my night' --runs-dir {tmp_path}" in shown
    assert "no champion" in shown


def test_generated_data_are_called_so(tmp_path: Path) -> None:
    plan = samples.facts(tmp_path, data_source="demo")
    best = samples.record(0, score=0.4)
    stream = io.StringIO()
    make_progress(quiet=False, json=False, stream=stream).search_started(plan)
    assert GENERATED_NOTE in stream.getvalue()
    assert GENERATED_NOTE in printed(lambda console: print_summary(console, samples.results(plan, [best], best)), width=200)
    real = samples.facts(tmp_path)
    assert GENERATED_NOTE not in printed(lambda console: print_summary(console, samples.results(real, [best], best)), width=200)


def test_summary_reads_nothing_as_markup_and_keeps_commands_whole(tmp_path: Path) -> None:
    failed = [samples.record(number, "FAIL", reason=HOSTILE) for number in range(2)]
    plan = samples.facts(tmp_path / ("long" * 40))
    best = samples.record(2, score=0.4)
    lines = printed(lambda console: print_summary(console, samples.results(plan, [*failed, best], best))).splitlines()
    assert "commonest failure: [red]boom[/] [/nothing] second line" in lines
    (use,) = [line for line in lines if line.startswith("use it:")]
    assert use.endswith('--task sst "text"')
    assert all(len(line) <= 80 for line in lines[:4])


def test_narrow_terminals_get_a_second_table(tmp_path: Path) -> None:
    """Nothing is cut and no cell is broken: settings move to a table of their own."""
    best = samples.record(0, score=0.4)
    found = samples.results(samples.facts(tmp_path), [best, samples.record(1, score=0.3)], best)
    lines = printed(lambda console: print_summary(console, found), width=80).splitlines()
    assert lines[0].split() == ["rank", "trial", "score", "sst", "sts", "state", "s"]
    assert lines[4].split() == ["trial", "mixture", "mixing", "pairs", "smart", "lr"]
    assert lines[5].split() == ["0", "sst", "sts", "loop_to_max", "cosine", "1e-05/1/1", "2e-05"]


def test_summary_of_many_trials_shows_the_best(tmp_path: Path) -> None:
    records = [samples.record(number, score=number / 1000) for number in range(500)]
    plan = samples.facts(tmp_path, n_trials=500)
    shown = printed(lambda console: print_summary(console, samples.results(plan, records, records[-1])), width=120)
    ranks = [line.split()[:2] for line in shown.splitlines()[1 : 1 + MAX_ROWS]]
    assert ranks == [[str(1 + i), str(499 - i)] for i in range(MAX_ROWS)]
    assert "and 470 more in results.json" in shown


def test_predict_command_takes_a_pair_where_there_is_no_single_text(tmp_path: Path) -> None:
    assert commands.predict(tmp_path / "champion", ["sts"]).endswith('--task sts "first text" "second text"')


def test_broadcast_keeps_the_order(tmp_path: Path) -> None:
    streams = io.StringIO(), io.StringIO()
    play(Broadcast(*(make_progress(False, True, stream) for stream in streams)), tmp_path)
    assert streams[0].getvalue() == streams[1].getvalue() != ""


def test_a_paused_trial_is_shown_until_it_goes_on(tmp_path: Path) -> None:
    why = "paused by asha-promote at evaluation 2 of 2, score 0.5000"
    record = samples.record(1, "PAUSED", score=0.5, reason=why)

    def pause(observer: Observer) -> None:
        observer.search_started(samples.facts(tmp_path, unfinished=(samples.record(0, "PAUSED", 0.3, reason=why),)))
        observer.trial_started(1, samples.CONFIG)
        observer.evaluated(1, samples.evaluation(2, 0.5), 0.5)
        observer.trial_paused(record)

    shown = printed(lambda console: pause(PlainProgress(console)), width=160)
    assert f"trial 1  PAUSED  score 0.5000  {why}" in shown
    assert "resumed: 1 trials are paused and may be promoted" in shown
    assert "go on" not in shown
    stream = io.StringIO()
    pause(JsonProgress(stream))
    told = json.loads(stream.getvalue().splitlines()[-1])
    assert told == {"event": "trial_paused", "number": 1, "score": 0.5, "evaluation": 2, "reason": why}
    state = ProgressState()
    state.start(samples.facts(tmp_path, unfinished=(samples.record(0, "PAUSED", 0.3, reason=why),)), 0.0)
    state.trial_started(1)
    state.evaluated(1, samples.evaluation(2, 0.5), 0.5)
    state.trial_paused(record)
    assert totals(state, 1.0)[0] == "2.0/4 full trials  0 running  0 pruned  0 failed  2 paused"
    assert [(row.number, row.state, row.last["index"]) for row in state.visible(9)] == [(0, "PAUSED", 2), (1, "PAUSED", 2)]
    state.trial_started(1)
    assert totals(state, 1.0)[0] == "2.0/4 full trials  1 running  0 pruned  0 failed  1 paused"


def test_json_has_the_events_of_finalists() -> None:
    stream = io.StringIO()
    finalists = JsonProgress(stream).aside("finalist", {1 << 40: "trial 3 seed 11"})
    finalists.trial_started(1 << 40, samples.CONFIG)
    finalists.evaluated(1 << 40, samples.evaluation(1, 0.5), 0.5)
    finalists.trial_noted(1 << 40, "with micro-batches of 4")
    finalists.trial_finished(samples.record(1 << 40, score=0.6))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "finalist_started",
        "finalist_evaluated",
        "finalist_noted",
        "finalist_finished",
    ]
    assert {(event["name"], event["number"]) for event in events} == {("trial 3 seed 11", 1 << 40)}
    assert (events[1]["score"], events[3]["state"], events[3]["score"]) == (0.5, "COMPLETE", 0.6)


def test_others_hear_of_finalists_on_stderr_alone() -> None:
    stream = io.StringIO()
    PlainProgress(Console(file=stream)).aside("finalist", {1: "trial 3 seed 11"}).trial_started(1, samples.CONFIG)
    assert stream.getvalue() == ""
