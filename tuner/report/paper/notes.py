"""The notes of a table: how to read its numbers, which are missing and why, and what they do not show."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.report.paper.cells import Cell
from tuner.report.paper.effect import Effect
from tuner.report.paper.published import CUES, Table
from tuner.report.paper.trials import Trial
from tuner.results.text import commonest_reason, one_line

MIXED = "†"
LEGEND = (
    "paper: on dev, the best of ten epochs chosen on that same dev, one seed: optimistic",
    "best epoch: ours by the paper's protocol, each seed at its best evaluation on dev, mean ± s.d. over seeds: optimistic",
    "last: ours at the last evaluation, mean ± s.d. over seeds (number of seeds)",
)
CUES_NOTE = (
    "the cue of the paper's dev goes against the label: dev is the inverted arm here, and picks the best epoch, as in the paper"
)
EFFECTS_LEGEND = (
    "s.e.: over seeds; paired: from each seed's own difference; Welch: where the two sides' seeds are not the same",
    "p: two-sided, of Student's t; where SMART does nothing, one comparison in twenty is below .05",
    "dev s.e.: of one score, from the number of dev's rows alone (binomial; Pearson by Fisher's z)",
)


def notes(
    table: Table, cells: Sequence[Cell], trials: Sequence[Trial], refused: Sequence[str | None], unfinished: str | None
) -> list[str]:
    """All notes of a table. `trials` are the run's, `refused` the reasons of those without a whole configuration.

    `unfinished` is the run's name if it has not finished.
    """
    lines = []
    if unfinished:
        command = f"python -m tuner.search --resume {unfinished}"
        lines.append(f"the search {unfinished} is unfinished, and these are its results so far; continue it with {command}")
    lines += LEGEND
    if any(len(cell.measured) == 1 for cell in cells):
        lines.append("(1): one seed, so no s.d.")
    if table is CUES:
        lines.append(CUES_NOTE)
    ways = dict.fromkeys(_settings(cell.mixed) for cell in cells if cell.mixed)
    for way in ways:
        places = _places(table, cells, [cell for cell in cells if _settings(cell.mixed) == way])
        lines.append(f"{MIXED} one mean mixes configurations in {places}: {way}")
    for reason in dict.fromkeys(reason for cell in cells for reason in cell.absences):
        places = _places(table, cells, [cell for cell in cells if reason in cell.absences])
        lines.append(f"missing in {places}: {reason}")
    lines += _outside(trials, cells)
    if refused:
        reason = one_line(commonest_reason(refused) or "")
        lines.append(f"trials without a whole configuration, in no cell: {len(refused)}, {reason}")
    return lines


def _places(table: Table, cells: Sequence[Cell], concerned: Sequence[Cell]) -> str:
    """The concerned cells, abbreviated: `pretrain`, `finetune SST+Quora (SST)`."""
    parts = []
    for mode in table.modes:
        rows, is_whole = [], True
        for training in table.trainings:
            row = [cell for cell in cells if cell.mode == mode and cell.training is training]
            names = [cell.column.name for cell in row if cell in concerned]
            is_whole = is_whole and len(names) == len(row)
            if names:
                rows.append(training.label + ("" if len(names) == len(row) else f" ({', '.join(names)})"))
        if rows:
            parts.append(mode if is_whole else f"{mode} {', '.join(rows)}")
    return "; ".join(parts)


def _outside(trials: Sequence[Trial], cells: Sequence[Cell]) -> list[str]:
    """Which trainings of the run are in no cell, and which trials repeat another one."""
    placed = {trial.number for cell in cells for trial in cell.trials}
    measured = {trial.number for cell in cells for trial in cell.measured}
    complete = {trial.number for cell in cells for trial in cell.trials if trial.state == "COMPLETE"}
    unscored = {trial.number for cell in cells for trial in cell.trials if trial.last(cell.column.metric) is None}
    others = sorted({trial.name for trial in trials if trial.number not in placed})
    repeats = sorted(complete - measured - unscored)
    lines = [f"in no cell of this table: trials of {', '.join(others)}"] if others else []
    if repeats:
        lines.append(f"repeats of another trial's configuration and seed, counted once: trials {', '.join(map(str, repeats))}")
    return lines


def verdict(effects: Sequence[Effect]) -> list[str]:
    """How to read the effects of SMART, and how many of them are no findings."""
    if not effects:
        return ["effect of SMART: no score exists both with and without it"]
    n_inside = sum(effect.is_inside for effect in effects)
    lines = [
        *EFFECTS_LEGEND,
        f"differences inside either standard error, or of one seed, are not findings: {n_inside} of {len(effects)} here",
    ]
    if any(effect.comparison.how == "one seed" for effect in effects):
        lines.append("one seed: a side has a single seed, so there is no standard error over seeds")
    confounded = [
        f"{effect.smart.mode} {effect.smart.training.mixture_name}: the two sides differ in more than SMART: "
        + _settings(effect.confounders)
        for effect in effects
        if effect.confounders
    ]
    return [*lines, *dict.fromkeys(confounded)]


def _settings(values: dict[str, list[str]]) -> str:
    return "; ".join(f"{name} {' or '.join(texts)}" for name, texts in values.items())
