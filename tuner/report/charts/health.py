"""SMART's health: its measures over training, and its alarms."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from model.smart.alarms import MEANINGS
from tuner.report.charts.curves import Curve, legend, measured, panel
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, table
from tuner.report.gather import Run, tasks_of

MEASURES = {
    "saturated": "share of δ at its bound ε",
    "cos_delta_gradient": "cosine of δ and the gradient where it ended",
    "gain_over_random": "divergence at δ over that at a random vertex",
    "rounded_away": "share of δ that rounds away",
    "delta_l2": "‖δ‖₂ / (ε√n)",
}
"""Of `model.training.health`, and what each is."""
TIME_SHARE = "smart/time_share"


def section(run: Run) -> list[Element]:
    found = health(run)
    if not found.n_smart:
        return [element("p", "No trial trained with SMART.", class_="none")]
    alarms = [
        element("li", f"{alarm.name} ({', '.join(alarm.tasks)}) in {_trials(alarm.numbers)}: {alarm.meaning}.")
        for alarm in found.alarms
    ]
    told = element("ul", alarms, class_="warnings") if alarms else element("p", "No trial raised an alarm.")
    if not found.measures and not found.time_share:
        return [told, element("p", "Its health was not measured in these trials.", class_="none")]
    panels = [panel(MEASURES[name], lines, run.champion_number, by_task=True) for name, lines in found.measures.items()]
    if found.time_share:
        panels.append(panel("share of a step's time", {"": found.time_share}, run.champion_number))
    tasks = list(dict.fromkeys(task for lines in found.measures.values() for task in lines))
    caption = (
        f"Measured on a few training examples of each task at every evaluation of the {found.n_smart} trials with SMART; bold: "
        "the champion. A δ that is far from its bound, at right angles to its gradient, or no better than a random one, does "
        "little; one that rounds away does nothing."
    )
    return [told, legend(tasks), figure("", panels, caption, _alternative(found))]


def _trials(numbers: tuple[int, ...]) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    more = ", …" if len(numbers) > 5 else ""
    return f"{len(numbers)} trials ({', '.join(map(str, numbers[:5]))}{more})"


def _alternative(found: Health) -> Element:
    """Each measure at the trials' last evaluations."""
    rows = []
    for name, lines in found.measures.items():
        for task, curves in lines.items():
            last = [curve.points[-1][1] for curve in curves]
            quartiles = [number(float(q), 3) for q in np.quantile(last, [0.25, 0.5, 0.75])]
            rows.append([MEASURES[name], task, str(len(last)), *quartiles])
    head = ("measure", "task", "trials", "lower quartile", "median", "upper quartile")
    return table(head, rows, "Health at the last evaluation", n_words=2)


@dataclass(frozen=True)
class Alarm:
    """One kind of alarm over all trials."""

    name: str
    meaning: str
    numbers: tuple[int, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """Of all trials with SMART that measured it."""

    measures: dict[str, dict[str, list[Curve]]]
    """By measure, then by task."""
    time_share: list[Curve]
    """Share of R_s in the time of a step."""
    alarms: tuple[Alarm, ...]
    n_smart: int
    """Trials with SMART on."""


def health(run: Run) -> Health:
    trials = run.counted
    measures = {
        name: {task: found for task in tasks_of(trials) if (found := measured(trials, "health", f"{task}/{name}"))}
        for name in MEASURES
    }
    alarms = []
    for name, meaning in MEANINGS.items():
        raised = {trial["number"]: trial["alarms"][name] for trial in trials if name in (trial.get("alarms") or {})}
        if raised:
            tasks = tuple(sorted({task for own in raised.values() for task in own}))
            alarms.append(Alarm(name, meaning, tuple(sorted(raised)), tasks))
    n_smart = sum(bool(trial["config"].get("smart", {}).get("enabled")) for trial in trials)
    known = {name: found for name, found in measures.items() if found}
    return Health(known, measured(trials, "health", TIME_SHARE), tuple(alarms), n_smart)
