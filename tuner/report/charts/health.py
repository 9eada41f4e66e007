"""SMART's health: its measures over training, and its alarms."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from model.smart.alarms import MEANINGS
from tuner.report.charts.curves import Curve, measured, panel, quartiles
from tuner.report.gather import Run, tasks_of
from tuner.report.html import absent, bullets, element, figure, table
from tuner.results.results_json import alarms_raised

MEASURES = {
    "saturated": "share of δ at its bound ε",
    "cos_delta_gradient": "cosine of δ and the gradient where it ended",
    "gain_over_random": "divergence at δ over that at a random vertex",
    "rounded_away": "share of δ that rounds away",
    "delta_l2": "‖δ‖₂ / (ε√n)",
}
"""The measures of `model.training.health`, and their descriptions."""
TIME_SHARE = "smart/time_share"
HEAD = ("measure", "task", "trials", "lower quartile", "median", "upper quartile")


def section(run: Run) -> list[Element]:
    n_smart = sum(bool(trial["config"].get("smart", {}).get("enabled")) for trial in run.counted)
    if not n_smart:
        return absent("No trial trained with SMART.")
    alarms = [
        f"{alarm} ({', '.join(sorted({t for tasks in raised.values() for t in tasks}))}) in {_trials(sorted(raised))}: "
        f"{MEANINGS[alarm]}."
        for alarm, raised in alarms_raised(run.counted).items()
    ]
    summary = bullets(alarms, "warnings") if alarms else element("p", "No trial raised an alarm.")
    by_measure, time_share = measures(run), measured(run.counted, "health", TIME_SHARE)
    if not by_measure and not time_share:
        return [summary, *absent("Its health was not measured in these trials.")]
    panels = [panel(MEASURES[name], lines, run.champion_number) for name, lines in by_measure.items()]
    if time_share:
        panels.append(panel("share of a step's time", {"trials": time_share}, run.champion_number))
    caption = (
        f"Measured on a few training examples of each task at every evaluation of the {n_smart} trials with SMART; bold: the "
        "champion. A δ that is far from its bound, orthogonal to its gradient, or no better than a random one has little "
        "effect; one that rounds away has none."
    )
    rows = [
        [MEASURES[name], task, str(len(curves)), *quartiles([curve.points[-1][1] for curve in curves], 3)]
        for name, lines in by_measure.items()
        for task, curves in lines.items()
    ]
    return [summary, figure("", panels, caption, table(HEAD, rows, "Health at the last evaluation", n_words=2))]


def _trials(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    more = ", …" if len(numbers) > 5 else ""
    return f"{len(numbers)} trials ({', '.join(map(str, numbers[:5]))}{more})"


def measures(run: Run) -> dict[str, dict[str, list[Curve]]]:
    """The measured curves by measure, then by task."""
    by_task = {
        name: {task: curves for task in tasks_of(run.counted) if (curves := measured(run.counted, "health", f"{task}/{name}"))}
        for name in MEASURES
    }
    return {name: lines for name, lines in by_task.items() if lines}
