"""The numbers of the report's charts, against independent calculations."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tests.support import paper_runs, report_runs, samples
from tuner.report.charts import contour, data, parallel
from tuner.report.charts.champion import rivals, score_se
from tuner.report.charts.cost import cost, saved_by_pruning
from tuner.report.charts.curves import by_evaluation, curves
from tuner.report.charts.fronts import planes
from tuner.report.charts.health import measures
from tuner.report.charts.simplex import faces, mixed, place, shares
from tuner.report.charts.timeline import schedule
from tuner.report.charts.transfer import compare, transfer
from tuner.report.gather import Run
from tuner.report.parameters import columns
from tuner.report.plot import LEVELS, lines, shown
from tuner.results.results_json import alarms_raised, trial_entry
from tuner.results.trial_record import TrialRecord

FOLDER = Path("/somewhere/runs/night")


def run(records: list[TrialRecord], **changes: Any) -> Run:
    events = changes.pop("events", ())
    results = report_runs.results(records, FOLDER, **changes)
    return Run(results, "finished", results["trials"], events)


def trained(number: int, mixture: list[str], seed: int = 0, **metrics: float) -> TrialRecord:
    """A COMPLETE trial with these main metrics at its one evaluation."""
    names = {"sst": "sst/accuracy", "quora": "quora/accuracy", "sts": "sts/pearson", "cfimdb": "cfimdb/accuracy"}
    values = {names[task]: value for task, value in metrics.items()}
    config = paper_runs.config(mixture, False, seed, budget={"evaluations": 1})
    score = statistics.fmean(values.values())
    look = {"step": 9, "score": score, "metrics": values, "seconds": 10.0, "evaluation_s": 4.0}
    return samples.record(
        number, config=config, score=None, metrics=values, evaluations=[look], seconds=10.0, scores={"mean": score}
    )


def scored(record: TrialRecord) -> TrialRecord:
    return replace(record, score=record.evaluations[-1]["score"])


def test_data_warnings_are_a_table() -> None:
    (nothing,) = data.section(run([]))
    assert nothing.text == "Nothing unusual is recorded of the data."
    whole = run([])
    warnings = {"sts": {"dev_in_train": 10, "dev_relabelled": 2}}
    warned = replace(whole, results={**whole.results, "data": {**whole.results["data"], "warnings": warnings}})
    (table,) = data.section(warned)
    n_dev = whole.rows["sts"]["dev"]
    assert f"10 of {n_dev} rows of dev have texts that are in train, 2 of them" in "".join(table.itertext())


def test_transfer_is_welchs_difference_to_the_task_alone() -> None:
    alone, together = [0.40, 0.43, 0.41], [0.45, 0.47]
    records = [trained(i, ["sst"], i, sst=value) for i, value in enumerate(alone)]
    records += [trained(3 + i, ["sst", "sts"], i, sst=value, sts=0.8 + i / 100) for i, value in enumerate(together)]
    levels, mixed = transfer(run([scored(one) for one in records]))
    assert levels.keys() == {"sst"}, "no trial of sts alone: that is unknown, not 0"
    gain, interval = compare(mixed["sst", "sts"]["sst"], levels["sst"])
    expected = stats.ttest_ind(together, alone, equal_var=False).confidence_interval(0.95)
    assert gain == pytest.approx(statistics.fmean(together) - statistics.fmean(alone))
    assert interval == pytest.approx((expected.low, expected.high))
    assert (mixed["sst", "sts"]["sst"].n, levels["sst"].n) == (2, 3)


CONTROL = {"sst": {"metric": "sst/accuracy", "value": 0.40, "cached": False, "config": {}}}


def test_transfer_of_single_trainings_has_the_error_of_the_examples() -> None:
    alone, mixed = transfer(run([scored(trained(0, ["sst", "sts"], sst=0.46, sts=0.8))], controls=CONTROL))
    assert (alone.keys(), alone["sst"].is_control) == ({"sst"}, True)
    n = report_runs.ROWS["sst"]["select"]
    se = math.sqrt(0.46 * 0.54 / n + 0.40 * 0.60 / n)
    _, interval = compare(mixed["sst", "sts"]["sst"], alone["sst"])
    assert interval == pytest.approx((0.06 - 1.959964 * se, 0.06 + 1.959964 * se), abs=1e-6)


def test_transfer_without_rows_has_no_interval() -> None:
    results = report_runs.results([scored(trained(0, ["sst", "sts"], sst=0.46, sts=0.8))], FOLDER, controls=CONTROL)
    results["data"] = results["data"] | {"rows": {}}
    alone, mixed = transfer(Run(results, "finished", results["trials"]))
    assert compare(mixed["sst", "sts"]["sst"], alone["sst"])[1] is None


def test_mixtures_in_another_order_are_the_same() -> None:
    records = [trained(0, ["sst", "sts"], sst=0.4, sts=0.8), trained(1, ["sts", "sst"], sst=0.5, sts=0.8)]
    assert list(transfer(run(list(map(scored, records))))[1]) == [("sst", "sts")]


def test_the_scores_error_is_that_of_its_metrics() -> None:
    only = scored(trained(0, ["sst"], sst=0.4))
    n = report_runs.ROWS["sst"]["select"]
    found = run([only])
    assert score_se(found, found.complete[0]) == pytest.approx(math.sqrt(0.24 / n))
    both = run([scored(trained(0, ["sst", "cfimdb"], sst=0.4, cfimdb=0.9))])
    parts = 0.24 / n + 0.09 / report_runs.ROWS["cfimdb"]["select"]
    assert score_se(both, both.complete[0]) == pytest.approx(math.sqrt(parts) / 2)
    other = run([replace(only, score=0.1234)])
    assert score_se(other, other.complete[0]) is None, "no metric of the trial, nor their mean"


def test_rivals_are_those_within_two_errors_of_a_difference() -> None:
    n = report_runs.ROWS["sst"]["select"]
    reach = 2 * math.sqrt(2) * math.sqrt(0.24 / n)
    values = [0.4, 0.4 - 0.99 * reach, 0.4 - 1.01 * reach]
    found = run([scored(trained(i, ["sst"], i, sst=value)) for i, value in enumerate(values)])
    assert found.champion is not None
    assert rivals(found, found.champion, math.sqrt(0.24 / n)) == [1]


def test_pruning_saves_what_was_left_at_a_trials_own_pace() -> None:
    records = [one for one in report_runs.records(40, seed=3) if one.state == "PRUNED"]
    expected = sum(one.seconds / len(one.evaluations) * (10 - len(one.evaluations)) for one in records)
    assert expected > 0
    assert saved_by_pruning([trial_entry(one) for one in records]) == pytest.approx(expected)


def test_cost_adds_up_to_what_the_slots_offered() -> None:
    records = report_runs.records(40, seed=4, states=("COMPLETE", "PRUNED", "FAIL"))
    events = report_runs.events(records, n_slots=3)
    found = cost(run(records, events=events), schedule(events))
    offered = 3 * (events[-1]["at"] - events[0]["at"])
    assert found.total_s == pytest.approx(offered)
    assert (found.per_gang, found.unit) == (2, "CPU")
    assert found.hours(offered) == pytest.approx(offered * 2 / 3600)
    assert sum(row.n for row in found.rows) == 40
    assert found.n_unrecorded == 0


def test_cost_without_a_timeline_is_the_trials_own_seconds() -> None:
    records = report_runs.records(20, seed=5)
    found = cost(run(records), None)
    assert found.idle_s is None
    assert found.total_s == pytest.approx(sum(one.seconds for one in records))
    evaluating = sum(look["evaluation_s"] for one in records for look in one.evaluations)
    assert sum(row.seconds["evaluation"] for row in found.rows) == pytest.approx(evaluating)


def test_trainings_that_are_no_trials_are_counted_apart() -> None:
    records = report_runs.records(5, seed=5)
    events = report_runs.events([*records, replace(records[0], number=99)])
    found = cost(run(records, events=events), schedule(events))
    assert [row.n for row in found.rows if row.state == "others"] == [1]
    held = schedule(events)
    assert held is not None
    assert found.total_s == pytest.approx(held.slot_s)


def test_repeats_save_their_originals_seconds() -> None:
    first = scored(trained(0, ["sst"], sst=0.4))
    again = replace(first, number=1, same_as=0, seconds=0.0)
    found = cost(run([first, again]), None)
    assert (found.n_repeats, found.saved_by_repeats_s, found.total_s) == (1, 10.0, 10.0)


def test_shares_follow_the_strategy() -> None:
    sizes = {"sst": 100, "sts": 300, "quora": 600}
    config = paper_runs.config(["sst", "sts", "quora"], False)
    told = {name: shares(config | {"mixing": {"strategy": name}}, sizes) for name in ("loop_to_max", "proportional", "sqrt")}
    assert told["loop_to_max"] == pytest.approx(dict.fromkeys(sizes, 1 / 3))
    assert told["proportional"] == pytest.approx({"sst": 0.1, "sts": 0.3, "quora": 0.6})
    roots = {task: math.sqrt(n) for task, n in sizes.items()}
    assert told["sqrt"] == pytest.approx({task: root / sum(roots.values()) for task, root in roots.items()})
    assert shares(config, {"sst": 100}) is None


def test_faces_hold_all_trials_of_their_tasks() -> None:
    found = run(report_runs.records(60, seed=6))
    corners = ("sst", "quora", "sts")
    by_corners = faces(found, mixed(found))
    assert len(by_corners) == 4
    inside = {point.number for point, is_whole in by_corners[corners] if is_whole}
    assert inside == {point.number for point in mixed(found) if set(point.shares) <= {"sst", "quora", "sts"}}
    assert all(sum(place(corners, point)) == pytest.approx(1) for point, _ in by_corners[corners])


def test_the_front_is_not_dominated() -> None:
    kind, found = planes(run(report_runs.records(60, seed=7)))
    assert kind == "tasks"
    for plane in found:
        on_front = {number for number, _, _ in plane.front}
        for number, a, b in plane.points:
            is_beaten = any(c >= a and d >= b and (c, d) != (a, b) for _, c, d in plane.points)
            assert (number not in on_front) == is_beaten


def test_a_minimised_goal_turns_its_front() -> None:
    scores = [(0.9, 0.5), (0.8, 0.1), (0.7, 0.4)]
    goals = ("clean/cfimdb/accuracy", "cue_gap/cfimdb/accuracy")
    records = [
        replace(scored(trained(i, ["cfimdb"], i, cfimdb=a)), scores=dict(zip(goals, (a, b), strict=True)))
        for i, (a, b) in enumerate(scores)
    ]
    kind, (plane,) = planes(run(records))
    assert kind == "goals"
    assert [number for number, _, _ in plane.front] == [1, 0]


def contour_menus(records: list[TrialRecord], order: list[str]) -> tuple[Any, list[dict[str, Any]]]:
    """The figure of the score over two parameters, and what each entry of its two menus puts on its axis."""
    trials = run(records).complete
    figure = contour.draw(trials, contour.ordered(trials, order)).to_plotly_json()
    return figure, [button["args"] for menu in figure["layout"]["updatemenus"] for button in menu["buttons"]]


def test_menus_put_any_parameter_on_either_axis() -> None:
    records = report_runs.records(60, seed=8, states=("COMPLETE",))
    trials = run(records).complete
    figure, entries = contour_menus(records, ["optim.lr", "optim.dropout"])
    names = [column.name for column in columns(trials)]
    titles = [value["text"] if isinstance(value, dict) else value for _, layout in entries for value in [title_of(layout)]]
    assert sorted(titles) == sorted([*names, *names])
    assert [title_of(figure["layout"], axis) for axis in "xy"] == ["optim.lr", "optim.dropout"], "the most important first"
    cells, marks = figure["data"]
    assert list(cells["x"]) == list(marks["x"]) == entries[0][0]["x"][0]
    assert list(marks["customdata"]) == [trial["number"] for trial in trials]
    by_name = {column.name: column for column in columns(trials)}
    assert list(marks["y"]) == [by_name["optim.dropout"].position(trial["params"]["optim.dropout"]) for trial in trials]


def title_of(layout: dict[str, Any], axis: str = "") -> Any:
    """An axis' title, of a figure or of a menu's entry."""
    found = [
        value for name, value in layout.items() if name in (f"{axis}axis.title.text", "xaxis.title.text", "yaxis.title.text")
    ]
    return found[0] if found else layout[f"{axis}axis"]["title"]["text"]


def test_cells_are_coloured_by_the_mean_score_and_transparent_when_empty() -> None:
    figure, _ = contour_menus(report_runs.records(60, seed=8, states=("COMPLETE",)), [])
    cells = figure["data"][0]
    assert (cells["type"], cells["histfunc"], cells["zmin"]) == ("histogram2d", "avg", 0)
    assert min(cells["z"]) == contour.EMPTY, "above 0, which stands for an empty cell"
    scale = dict(map(tuple, cells["colorscale"]))
    assert scale[0].endswith(",0)")
    assert scale[contour.EMPTY] == LEVELS[0]


def test_lines_have_gaps_between_trials_and_a_mark_at_their_ends() -> None:
    line, ends = lines("pruned", {3: [(0.1, 0.5), (0.2, 0.6)], 7: [(0.1, 0.4)]}, "#888888", n_lines=2)
    assert line["customdata"] == [3, 3, 3, 7, 7]
    assert line["y"] == [0.5, 0.6, None, 0.4, None]
    assert (ends["customdata"], ends["x"], ends["y"]) == ([3, 7], [0.2, 0.1], [0.6, 0.4])


def test_parallel_coordinates_group_trials_by_fifths_of_the_score() -> None:
    trials = run(report_runs.records(60, seed=9)).counted
    best = max((trial for trial in trials if trial["state"] == "COMPLETE"), key=lambda trial: trial["score"])
    figure = parallel.draw(trials, columns(trials)[:4], best["number"]).to_plotly_json()
    groups = {
        trace["name"]: {trials[number]["score"] for number in trace["customdata"]}
        for trace in figure["data"]
        if trace["mode"] == "lines" and trace.get("customdata")
    }
    assert groups["champion"] == {best["score"]}
    assert groups["pruned"] == {trial["score"] for trial in trials if trial["state"] == "PRUNED"}
    levels = [scores for name, scores in groups.items() if " to " in name]
    assert len(levels) == len(LEVELS)
    assert all(max(lower) <= min(upper) for lower, upper in pairwise(levels))
    assert sum(map(len, groups.values())) == len({trial["score"] for trial in trials})


def test_texts_in_figures_are_escaped_and_cut() -> None:
    assert shown("<b>a&b\u202e</b>") == "&lt;b&gt;a&amp;b\ufffd&lt;/b&gt;"
    assert shown("x" * 50, 10) == "x" * 9 + "…"


def test_positions_lie_on_their_axis() -> None:
    trials = [trial_entry(one) for one in report_runs.records(80, seed=8)]
    by_name = {column.name: column for column in columns(trials)}
    assert by_name["optim.lr"].is_log
    assert not by_name["optim.dropout"].is_log
    assert by_name["smart.enabled"].levels == ("false", "true")
    for trial in trials:
        for name, value in trial["params"].items():
            if name in by_name:
                assert 0 <= by_name[name].position(value) <= 1  # type: ignore[operator]
    lr = by_name["optim.lr"]
    assert lr.position(math.sqrt(lr.low * lr.high)) == pytest.approx(0.5)
    for column in (lr, by_name["optim.dropout"], by_name["smart.enabled"]):
        for position, text in column.ticks(3):
            value = text == "true" if column.levels else float(text)
            assert column.position(value) == pytest.approx(position, abs=0.01)


def test_settings_replace_parameters_that_were_not_recorded() -> None:
    trials = [{**trial_entry(one), "params": None} for one in report_runs.records(10, seed=9)]
    names = {column.name for column in columns(trials)}
    assert {"optim.lr", "mixture", "smart.enabled"} <= names
    assert "seed" not in names


def test_curves_are_the_evaluations() -> None:
    found = run(report_runs.records(12, seed=10, states=("COMPLETE", "PRUNED", "FAIL")))
    for name, each in curves(found.counted).items():
        for curve in each:
            trial = found.trials[curve.number]
            assert [value for _, value in curve.points] == [look["metrics"][name] for look in trial["evaluations"]]
            assert curve.points[-1][0] == pytest.approx(len(trial["evaluations"]) / 10)
    first = by_evaluation(found.counted, "sst/accuracy")[1]
    values = [t["evaluations"][0]["metrics"]["sst/accuracy"] for t in found.counted if "sst/accuracy" in t["metrics"]]
    assert first == values


def test_health_gathers_measures_and_alarms() -> None:
    records = report_runs.records(20, seed=11)
    looks = [look | {"losses": {"sst/smoothness": 0.0, "sst/loss": 1.0}} for look in records[0].evaluations]
    found = run([replace(records[0], evaluations=looks), *records[1:]])
    assert alarms_raised(found.counted) == {"smart-no-op": {0: ["sst"]}}
    assert "saturated" in measures(found)
