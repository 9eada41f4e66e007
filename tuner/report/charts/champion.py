"""The champion, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from model.metrics import interval
from model.tasks import TASKS
from tuner.report.drawing.dots import Dot, dots
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, spread, table
from tuner.report.gather import Run, Trial, tasks_of
from tuner.report.paper.effect import sampling_error
from tuner.results.text import GENERATED_NOTE, settings

SETTINGS = ("mixture", "mixing", "pairs", "SMART ε/λ/K", "learning rate")
"""What `summary.settings` gives."""


def section(run: Run) -> list[Element]:
    found = trust(run)
    if found is None or run.champion is None:
        return [element("p", "There is no champion: no trial is complete.", class_="none"), _warnings(run)]
    return [_headline(run), _warnings(run), _doubts(run, found), _measures(run, found)]


def _headline(run: Run) -> Element:
    champion = run.champion
    assert champion is not None
    name = "the untuned default" if champion["number"] is None else f"trial {champion['number']}"
    so_far = "" if run.stage == "finished" else ", the best so far"
    facts = element("dl", class_="facts")
    for key, value in zip(SETTINGS, settings(champion["config"]), strict=True):
        facts.append(element("div", element("dt", key), element("dd", value)))
    return element(
        "div",
        element("p", element("strong", number(champion["score"]), class_="score"), f" {name}{so_far}", class_="headline"),
        facts,
    )


def _warnings(run: Run) -> Element:
    """What must be known before anything is believed."""
    results, told = run.results, []
    if results["data"]["generated"]:
        told.append(GENERATED_NOTE)
    champion = run.champion
    if champion and not champion.get("feasible", True):
        missed = [
            f"{text} by {number(each['missed_by'])}" for text, each in champion["requirements"].items() if not each["met"]
        ]
        told.append(f"No trial meets the requirements: the champion is only the nearest. It misses {', '.join(missed)}.")
    if results.get("stopped_by"):
        told.append(f"The search was stopped: {results['stopped_by']}.")
    told += [f"The stores disagree: {sentence}" for sentence in results.get("consistency") or []]
    own = next((trial for trial in run.counted if trial["number"] == run.champion_number), None)
    for alarm, tasks in ((own or {}).get("alarms") or {}).items():
        told.append(f"The champion's own regulariser raised {alarm} ({', '.join(tasks)}).")
    return element("ul", [element("li", sentence) for sentence in told], class_="warnings" if told else "nothing")


def _doubts(run: Run, found: Trust) -> Element:
    """In sentences: chosen among how many, told from how many, and what dev says of it."""
    confirmed = (run.champion or {}).get("confirmed")
    told = [_confirmed(confirmed)] if confirmed else _chosen(found)
    both = [one for one in found.measures if one.select is not None and one.dev is not None]
    if both:
        fall = sum((one.select or 0.0) - (one.dev or 0.0) for one in both) / len(both)
        told.append(
            f"On dev, which nothing was chosen on, its metrics are {number(abs(fall))} {'lower' if fall >= 0 else 'higher'} on "
            "average: quote those."
        )
    else:
        told.append("It has not been scored on dev.")
    if not confirmed and not (run.results.get("confirmation") or {}).get("finalists"):
        told.append("It has not been trained again on fresh seeds, so how much of its lead is luck of the seed is not known.")
    return element("p", " ".join(told))


def _chosen(found: Trust) -> list[str]:
    """Of a champion that the search's scores alone made."""
    told = [f"It was chosen on select among {found.n_complete} complete trials, so its score there is too high on average."]
    if found.score_se is not None:
        told.append(
            f"The size of select alone gives the score a standard error of {number(found.score_se)}; "
            f"{len(found.rivals)} other trial{'s lie' if len(found.rivals) != 1 else ' lies'} within two standard errors of a "
            "difference, and cannot be told from it."
        )
    return told


def _confirmed(found: Mapping[str, Any]) -> str:
    """Of one that fresh seeds confirmed: its mean, beside which the model's own score is the luckiest."""
    spread_ = "" if found["sd"] is None else f" ± {number(found['sd'])} (s.d.)"
    bound = "" if found["bound"] is None else f", and above {number(found['bound'])} with 95 % confidence"
    return (
        f"Trained on {found['n_seeds']} fresh seeds it came to {number(found['mean'])}{spread_} on select{bound}. The model is "
        f"that of its best seed there, {found['seed']}, so its own score is too high on average."
    )


def _measures(run: Run, found: Trust) -> Element:
    rows = [
        [one.name, number(one.select), _within(one.select_interval), number(one.dev), _within(one.dev_interval)]
        for one in found.measures
    ]
    head = ("metric", "select", "95 % interval", "dev", "95 % interval")
    marks = {one.name: _dots(one) for one in found.measures}
    panel = dots("The champion's metrics on select and dev, with 95 % intervals", marks, "value")
    caption = (
        "Hollow: on select, by which it was chosen; full: on dev. Intervals are of the examples (Wilson's for an accuracy, "
        "Fisher's for a correlation); another seed of the training adds to them."
    )
    panels = [panel] if panel is not None else []
    return figure("Its metrics", [*panels, table(head, rows, "The champion's metrics")], caption)


def _dots(one: Measure) -> list[Dot]:
    select, dev = one.select_interval or (None, None), one.dev_interval or (None, None)
    each = [Dot("select", one.select, select[0], select[1], "hollow"), Dot("dev", one.dev, dev[0], dev[1], "full")]
    return [dot for dot in each if dot.value is not None]


def _within(bounds: tuple[float, float] | None) -> str:
    return spread(*(bounds or (None, None)))


@dataclass(frozen=True)
class Measure:
    """One metric of the champion."""

    name: str
    select: float | None
    select_interval: tuple[float, float] | None
    dev: float | None
    """On the split that nothing was chosen on; None where it was not scored there."""
    dev_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Trust:
    """The champion among the others."""

    measures: tuple[Measure, ...]
    n_complete: int
    score_se: float | None
    """Standard error of the score from the size of select alone; None where the score is no metric and no mean of metrics."""
    rivals: tuple[int, ...]
    """COMPLETE trials whose score is less than two standard errors of a difference below the champion's."""


def trust(run: Run) -> Trust | None:
    """Of the run's champion; None without one."""
    champion = run.champion
    if champion is None:
        return None
    dev: Mapping[str, float] = champion.get("dev") or {}
    names = [name for name in dict.fromkeys((*champion["metrics"], *dev)) if name.count("/") == 1]
    measures = tuple(
        Measure(
            name,
            champion["metrics"].get(name),
            _interval(run, name, champion["metrics"].get(name), "select"),
            dev.get(name),
            _interval(run, name, dev.get(name), "dev"),
        )
        for name in names
    )
    se = score_se(run, champion)
    rivals = () if se is None else _rivals(run, champion, se)
    return Trust(measures, len(run.complete), se, rivals)


def _rivals(run: Run, champion: Mapping[str, Any], se: float) -> tuple[int, ...]:
    """The same select examples score both, so that errors of a difference are rather smaller: this counts too many, if any."""
    reach = 2 * math.sqrt(2) * se
    others = [trial for trial in run.complete if trial["number"] != champion["number"]]
    return tuple(trial["number"] for trial in others if abs(trial["score"] - champion["score"]) < reach)


def _interval(run: Run, name: str, value: float | None, split: str) -> tuple[float, float] | None:
    n = run.rows.get(name.partition("/")[0], {}).get(split, 0)
    return None if value is None else interval(name, value, n)


def score_se(run: Run, trial: Trial) -> float | None:
    """From the sampling errors of the metrics that the score is, or is the mean of."""
    own = {TASKS[task].metric: task for task in tasks_of([trial])}
    values = {name: trial["metrics"][name] for name in own if trial["metrics"].get(name) is not None}
    for names in [tuple(values), *_subsets(run), *((name,) for name in values)]:
        present = [name for name in names if name in values]
        if present and len(present) == len(names):
            mean = sum(values[name] for name in names) / len(names)
            if math.isclose(mean, trial["score"], abs_tol=1e-9):
                return _mean_se([metric_se(run, own[name], values[name]) for name in names])
    return None


def _subsets(run: Run) -> list[tuple[str, ...]]:
    """The metrics that the run's metric names, as in `mean(sst/accuracy, sts/pearson)`."""
    words = run.results["metric"].partition("mean(")[2].partition(")")[0]
    return [tuple(word.strip() for word in words.split(","))] if words else []


def metric_se(run: Run, task: str, value: float, split: str = "select") -> float | None:
    """Standard error of a task's main metric from the number of examples alone; None where that is not known."""
    n = run.rows.get(task, {}).get(split, 0)
    is_correlation = TASKS[task].kind == "regression"
    return sampling_error(is_correlation, min(max(value, -1.0 if is_correlation else 0.0), 1.0), n) if n else None


def _mean_se(each: list[float | None]) -> float | None:
    known = [se for se in each if se is not None]
    return math.sqrt(sum(se**2 for se in known)) / len(known) if len(known) == len(each) else None
