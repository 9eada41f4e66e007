"""The champion, its metrics on select and dev, and how far its score can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from model.metrics import interval
from model.tasks import TASKS
from tuner.report.gather import Run, Trial, tasks_of
from tuner.report.html import absent, bullets, element, figure, number, spread, table
from tuner.report.plot import intervals
from tuner.results.standard_errors import sampling_error
from tuner.results.text import GENERATED_NOTE, champion_name, settings

SETTINGS = ("mixture", "mixing", "pairs", "SMART ε/λ/K", "learning rate")
"""Names of what `settings` returns."""
Measure = tuple[float | None, tuple[float, float] | None]
"""A value and its 95 % interval from the number of examples."""
CAPTION = (
    "Hollow: on select, which it was chosen on; full: on dev. Intervals are of the examples (Wilson's for an accuracy, "
    "Fisher's for a correlation); another seed of the training adds to them."
)


def section(run: Run) -> list[Element]:
    champion, warnings = run.champion, _warnings(run)
    warning_list = bullets(warnings, "warnings" if warnings else "nothing")
    if champion is None:
        return [*absent("There is no champion: no trial is complete."), warning_list]
    name = f" {champion_name(champion)}{'' if run.stage == 'finished' else ', the best so far'}"
    facts = [
        element("div", element("dt", key), element("dd", value))
        for key, value in zip(SETTINGS, settings(champion["config"]), strict=True)
    ]
    headline = element("p", element("strong", number(champion["score"]), class_="score"), name, class_="headline")
    metrics = measures(run, champion)
    return [
        element("div", headline, element("dl", facts, class_="facts")),
        warning_list,
        element("p", " ".join(_doubts(run, champion, metrics))),
        _metrics(metrics),
    ]


def _warnings(run: Run) -> list[str]:
    """What a reader must know first: generated data, missed requirements, early stop, disagreements, alarms."""
    results, champion = run.results, run.champion
    warnings = [GENERATED_NOTE] if results["data"]["generated"] else []
    if champion and not champion.get("feasible", True):
        missed = [f"{text} by {number(r['missed_by'])}" for text, r in champion["requirements"].items() if not r["met"]]
        warnings.append(f"No trial meets the requirements: the champion is only the nearest. It misses {', '.join(missed)}.")
    if results.get("stopped_by"):
        warnings.append(f"The search was stopped: {results['stopped_by']}.")
    warnings += [f"The stores disagree: {sentence}" for sentence in results.get("consistency") or []]
    alarms = (run.champion_trial or {}).get("alarms") or {}
    return warnings + [f"The champion's regulariser raised {alarm} ({', '.join(tasks)})." for alarm, tasks in alarms.items()]


def _doubts(run: Run, champion: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Measure]]) -> list[str]:
    """How biased its score is: by selection, by the seed, and against dev."""
    confirmed = champion.get("confirmed")
    sentences = [_confirmed(confirmed)] if confirmed else _selection(run, champion)
    pairs = [(splits["select"][0], splits["dev"][0]) for splits in metrics.values()]
    falls = [select - dev for select, dev in pairs if select is not None and dev is not None]
    if falls:
        fall = sum(falls) / len(falls)
        sentences.append(
            f"On dev, which nothing was chosen on, its metrics are {number(abs(fall))} {'lower' if fall >= 0 else 'higher'} on "
            "average: quote those."
        )
    else:
        sentences.append("It has not been scored on dev.")
    if not confirmed and not (run.results.get("confirmation") or {}).get("finalists"):
        sentences.append("It has not been trained again on fresh seeds, so how much of its lead is luck is unknown.")
    return sentences


def _selection(run: Run, champion: Mapping[str, Any]) -> list[str]:
    """Of a champion that was chosen by the search's scores alone."""
    n_complete, se = len(run.complete), score_se(run, champion)
    sentences = [f"It was chosen on select among {n_complete} complete trials, so its score there is too high on average."]
    if se is not None:
        n_rivals = len(rivals(run, champion, se))
        sentences.append(
            f"The size of select alone gives the score a standard error of {number(se)}; {n_rivals} other "
            f"trial{'s lie' if n_rivals != 1 else ' lies'} within two standard errors of a difference, and cannot be "
            "distinguished from it."
        )
    return sentences


def _confirmed(confirmed: Mapping[str, Any]) -> str:
    """Of a champion that was trained on fresh seeds."""
    sd = "" if confirmed["sd"] is None else f" ± {number(confirmed['sd'])} (s.d.)"
    bound = "" if confirmed["bound"] is None else f", and above {number(confirmed['bound'])} with 95 % confidence"
    return (
        f"Trained on {confirmed['n_seeds']} fresh seeds its mean is {number(confirmed['mean'])}{sd} on select{bound}. The "
        f"model is that of its best seed there, {confirmed['seed']}, so its own score is too high on average."
    )


def _metrics(metrics: Mapping[str, Mapping[str, Measure]]) -> Element:
    rows = [
        [name, *(text for value, bounds in splits.values() for text in (number(value), spread(bounds)))]
        for name, splits in metrics.items()
    ]
    series = {split: [splits[split] for splits in metrics.values()] for split in ("select", "dev")}
    panel = intervals(list(metrics), series, "value", "The champion's metrics on select and dev, with 95 % intervals")
    head = ("metric", "select", "95 % interval", "dev", "95 % interval")
    return figure("Its metrics", [panel, table(head, rows, "The champion's metrics")], CAPTION)


def measures(run: Run, champion: Mapping[str, Any]) -> dict[str, dict[str, Measure]]:
    """The champion's metrics by name and split, without those of arms such as `clean/sst/accuracy`; None where not scored."""
    splits = {"select": champion["metrics"], "dev": champion.get("dev") or {}}
    names = [name for name in dict.fromkeys((*splits["select"], *splits["dev"])) if name.count("/") == 1]

    def measure(name: str, split: str) -> Measure:
        value, n = splits[split].get(name), run.rows.get(name.partition("/")[0], {}).get(split, 0)
        return value, None if value is None else interval(name, value, n)

    return {name: {split: measure(name, split) for split in splits} for name in names}


def rivals(run: Run, champion: Mapping[str, Any], se: float) -> list[int]:
    """COMPLETE trials whose score is less than two standard errors of a difference from the champion's.

    The trials share the select examples, which makes a difference's true error smaller: there may be fewer rivals than this.
    """
    reach = 2 * math.sqrt(2) * se
    others = [trial for trial in run.complete if trial["number"] != champion["number"]]
    return [trial["number"] for trial in others if abs(trial["score"] - champion["score"]) < reach]


def score_se(run: Run, trial: Trial) -> float | None:
    """The score's standard error from the size of select; None unless the score is a metric, or a mean of metrics."""
    tasks = {TASKS[task].metric: task for task in tasks_of([trial]) if trial["metrics"].get(TASKS[task].metric) is not None}
    values = {name: trial["metrics"][name] for name in tasks}
    goal = run.results["metric"].partition("mean(")[2].partition(")")[0]  # as in `mean(sst/accuracy, sts/pearson)`
    named = [tuple(word.strip() for word in goal.split(","))] if goal else []
    for names in [tuple(values), *named, *((name,) for name in values)]:
        if names and set(names) <= set(values):
            mean = sum(values[name] for name in names) / len(names)
            if math.isclose(mean, trial["score"], abs_tol=1e-9):
                errors = [metric_se(run, tasks[name], values[name]) for name in names]
                known = [error for error in errors if error is not None]
                return math.hypot(*known) / len(known) if len(known) == len(errors) else None
    return None


def metric_se(run: Run, task: str, value: float) -> float | None:
    """Standard error of a task's main metric from the number of select examples; None where that is unknown."""
    n = run.rows.get(task, {}).get("select", 0)
    is_correlation = TASKS[task].kind == "regression"
    return sampling_error(is_correlation, min(max(value, -1.0 if is_correlation else 0.0), 1.0), n) if n else None
