"""Footnotes of a table: what its numbers are, which are missing and why, and what must not be read into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuner.report.paper.cells import Cell
from tuner.report.paper.effect import Effect
from tuner.report.paper.published import Table, Training
from tuner.report.paper.trials import Trial
from tuner.results.text import commonest_reason, one_line

MIXED = "†"


def legend(cells: Sequence[Cell]) -> list[str]:
    """How to read the table."""
    lines = [
        "paper: on dev, the best of ten epochs chosen on that same dev, one seed: optimistic",
        "best epoch: ours by the paper's protocol, each seed at its best evaluation on dev, mean ± s.d. over seeds: optimistic",
        "last: ours at the last evaluation, mean ± s.d. over seeds (number of seeds)",
    ]
    if any(len(cell.measured) == 1 for cell in cells):
        lines.append("(1): one seed, so no s.d.")
    return lines


def missing(table: Table, cells: Sequence[Cell]) -> list[str]:
    """A sentence for each reason that a number is missing or rests on fewer trials, with the cells it concerns."""
    reasons = list(dict.fromkeys(reason for cell in cells for reason in cell.absences))
    return [f"missing in {_places(table, cells, _has(reason))}: {reason}" for reason in reasons]


def _has(reason: str) -> Callable[[Cell], bool]:
    return lambda cell: reason in cell.absences


def _places(table: Table, cells: Sequence[Cell], concerned: Callable[[Cell], bool]) -> str:
    """The concerned cells in as few words as say it: `pretrain`, `finetune SST+Quora (SST)`."""
    parts = []
    for mode in table.modes:
        here = [cell for cell in cells if cell.mode == mode]
        if all(concerned(cell) for cell in here):
            parts.append(mode)
            continue
        rows = [_row(training, here, concerned) for training in table.trainings]
        parts += [f"{mode} {', '.join(row for row in rows if row)}"] if any(rows) else []
    return "; ".join(parts)


def _row(training: Training, cells: Sequence[Cell], concerned: Callable[[Cell], bool]) -> str:
    """`SST+Quora`, or with the columns where not all are concerned; nothing where none is."""
    row = [cell for cell in cells if cell.training is training]
    found = [cell.column.name for cell in row if concerned(cell)]
    if not found:
        return ""
    return training.label if len(found) == len(row) else f"{training.label} ({', '.join(found)})"


def mixed(table: Table, cells: Sequence[Cell]) -> list[str]:
    """A sentence on the cells whose trials differ in more than the seed, for each way in which they do."""
    ways = dict.fromkeys(_settings(cell.mixed) for cell in cells if cell.mixed)
    return [f"{MIXED} one mean mixes configurations in {_places(table, cells, _differs(way))}: {way}" for way in ways]


def _differs(way: str) -> Callable[[Cell], bool]:
    return lambda cell: _settings(cell.mixed) == way


def outside(trials: Sequence[Trial], cells: Sequence[Cell]) -> list[str]:
    """Which trainings of the run stand in no cell, and which trials repeat another one."""
    placed = {trial.number for cell in cells for trial in cell.trials}
    measured = {trial.number for cell in cells for trial in cell.measured}
    complete = {trial.number for cell in cells for trial in cell.trials if trial.state == "COMPLETE"}
    blind = {trial.number for cell in cells for trial in cell.trials if trial.last(cell.column.metric) is None}
    others = sorted({f"{'+'.join(sorted(trial.mixture))} ({trial.mode})" for trial in trials if trial.number not in placed})
    repeats = sorted(complete - measured - blind)
    lines = [f"in no cell of this table: trials of {', '.join(others)}"] if others else []
    if repeats:
        lines.append(f"repeats of another trial's configuration and seed, counted once: trials {', '.join(map(str, repeats))}")
    return lines


def refused(reasons: Sequence[str | None]) -> list[str]:
    """A sentence on the trials that never had a whole configuration, by their reasons; nothing of none."""
    if not reasons:
        return []
    return [f"trials without a whole configuration, in no cell: {len(reasons)}, {one_line(commonest_reason(reasons) or '')}"]


def unfinished(name: str) -> str:
    return f"the search {name} is unfinished, and this is what is there; python -m tuner.search --resume {name} goes on with it"


CUES_NOTE = (
    "the cue of the paper's dev goes against the label: dev is the inverted arm here, and picks the best epoch, as in the paper"
)


def verdict(effects: Sequence[Effect]) -> list[str]:
    """How to read the effects of SMART, and how many of them are no findings."""
    if not effects:
        return ["effect of SMART: no score is there both with and without it"]
    inside = sum(effect.is_inside for effect in effects)
    lines = [
        "s.e.: over seeds; paired: from each seed's own difference; Welch: where the two sides' seeds are not the same",
        "p: two-sided, of Student's t; where SMART does nothing, one comparison in twenty is below .05",
        "dev s.e.: of one score, from the number of dev's rows alone (binomial; Pearson by Fisher's z)",
        f"differences inside either standard error, or of one seed, are not findings: {inside} of {len(effects)} here",
    ]
    if any(effect.comparison.how == "one seed" for effect in effects):
        lines.append("one seed: a side has a single seed, so there is no standard error over seeds")
    return [*lines, *_confounded(effects)]


def _confounded(effects: Sequence[Effect]) -> list[str]:
    """A sentence for each mixture and way in which SMART is not all that differs."""
    told = (
        (f"{effect.smart.mode} {effect.smart.training.mixture_name}", _settings(effect.confounders))
        for effect in effects
        if effect.confounders
    )
    return [f"{place}: the two sides differ in more than SMART: {way}" for place, way in dict.fromkeys(told)]


def _settings(varying: dict[str, list[str]]) -> str:
    return "; ".join(f"{name} {' or '.join(values)}" for name, values in varying.items())
