"""A table beside the paper's as a document: grids of text, notes, caption and effects, independent of the output format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from model.config import ConfigError
from tuner.report.paper import caption, notes
from tuner.report.paper.cells import Cell, Estimate, cells_of
from tuner.report.paper.effect import Effect, effects_of
from tuner.report.paper.published import CUES, PUBLISHED, TABLES, Table
from tuner.report.paper.trials import Trial, read

ABSENT = "–"
KINDS = ("paper", "best epoch", "last")
"""The numbers of a cell."""


@dataclass(frozen=True)
class Grid:
    """A table of text; its first column holds words, the others numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Document:
    """One table of the paper, with its notes, caption and effects."""

    table: Table
    run: str
    is_finished: bool
    cells: tuple[Cell, ...]
    effects: tuple[Effect, ...]
    ours: tuple[str, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    verdict: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{PUBLISHED['title']}: {self.table.title}. The paper beside {self.run}"


def documents(results: Mapping[str, Any]) -> list[Document]:
    """A document for each of the paper's tables with trials in the run.

    Raises `ConfigError` when there is none, or when complete trials hold no scores on dev.
    """
    trials, name = read(results), results["name"]
    tables = [build(table, trials, results) for table in TABLES if _members(table, trials)]
    if not tables:
        raise ConfigError([_no_table(name, trials)])
    cells = [cell for each in tables for cell in each.cells]
    has_complete = any(trial.state == "COMPLETE" for cell in cells for trial in cell.trials)
    if has_complete and not any(cell.measured for cell in cells):
        space = "paper_cfimdb" if tables[0].table is CUES else "paper_table2"
        raise ConfigError(
            [
                f"no trial of {name} holds scores on dev at its last evaluation, so nothing can stand beside the paper's; "
                f"run `python -m tuner.search --space {space}`, or set `watch: [dev]` in your own space"
            ]
        )
    return tables


def build(table: Table, trials: Sequence[Trial], results: Mapping[str, Any]) -> Document:
    """One table, from the trials of a run."""
    cells, data, name = cells_of(table, trials), results["data"], results["name"]
    effects, members = effects_of(cells, data["rows"]), _members(table, trials)
    described = [trial for trial in members if trial.state == "COMPLETE"] or members
    is_finished, numbers = results["finished"] is not None, {trial.number for trial in trials}
    refused = [trial["reason"] for trial in results["trials"] if trial["number"] not in numbers]
    return Document(
        table=table,
        run=name,
        is_finished=is_finished,
        cells=tuple(cells),
        effects=tuple(effects),
        ours=tuple(caption.ours(described, data, table)),
        differences=tuple(caption.differences(described, data, table)),
        notes=tuple(notes.notes(table, cells, trials, refused, unfinished=None if is_finished else name)),
        verdict=tuple(notes.verdict(effects)),
    )


def wide(document: Document) -> list[Grid]:
    """One grid for each mode, with three numbers for each score."""
    table, by_place = document.table, {(cell.mode, cell.training.label, cell.column): cell for cell in document.cells}
    headers = ("training", *(f"{column.name} {kind}" for column in table.columns for kind in KINDS))
    grids = []
    for mode in table.modes:
        cells = [(row.label, [by_place.get((mode, row.label, column)) for column in table.columns]) for row in table.trainings]
        rows = [(label, *(text for cell in row for text in _texts(cell))) for label, row in cells]
        grids.append(Grid(mode, headers, tuple(rows)))
    return grids


def narrow(document: Document) -> list[Grid]:
    """One grid for each mode and score."""
    grids = []
    for mode, column in product(document.table.modes, document.table.columns):
        cells = [cell for cell in document.cells if (cell.mode, cell.column) == (mode, column)]
        rows = tuple((cell.training.label, *_texts(cell)) for cell in cells)
        grids.append(Grid(f"{mode}, {column.name}", ("training", *KINDS), rows))
    return grids


def _texts(cell: Cell | None) -> tuple[str, str, str]:
    """The paper's number, ours at the best epoch, ours at the last evaluation; dashes for None."""
    if cell is None:
        return ABSENT, ABSENT, ABSENT
    mark = notes.MIXED if cell.mixed else ""
    last = f"{estimate_text(cell.last)} ({cell.last.n})" if cell.last else ABSENT
    return number_text(cell.paper), estimate_text(cell.best) + mark, last + mark


def effect_grids(document: Document) -> list[Grid]:
    """The effect of SMART, one grid for each mode that has any."""
    headers = ("mixture", "score", "difference", "s.e.", "in s.e.", "p", "seeds", "dev s.e.")
    rows = {mode: tuple(_effect_row(e) for e in document.effects if e.smart.mode == mode) for mode in document.table.modes}
    return [
        Grid(f"effect of SMART (with − without), {mode}, last evaluation", headers, each) for mode, each in rows.items() if each
    ]


def _effect_row(effect: Effect) -> tuple[str, ...]:
    comparison, seeds = effect.comparison, [len(effect.without.measured), len(effect.smart.measured)]
    return (
        effect.smart.training.mixture_name,
        effect.smart.column.name,
        f"{'-' if comparison.difference < 0 else '+'}{number_text(abs(comparison.difference))}",
        number_text(comparison.se),
        ABSENT if comparison.n_se is None else f"{comparison.n_se:+.1f}",
        "<.001" if comparison.p is not None and comparison.p < 0.001 else number_text(comparison.p),
        comparison.how if comparison.how == "one seed" else f"{comparison.how} {', '.join(map(str, dict.fromkeys(seeds)))}",
        number_text(effect.dev_se),
    )


def number_text(value: float | None) -> str:
    """As in the paper: `.531`, `-.012`, `1.000`; a dash for None."""
    if value is None:
        return ABSENT
    text = f"{round(value, 3) + 0.0:.3f}"  # + 0.0 makes −0 a 0
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def estimate_text(value: Estimate | None) -> str:
    """`.531 ± .004`, or the mean alone for a single trial."""
    if value is None:
        return ABSENT
    return number_text(value.mean) if value.sd is None else f"{number_text(value.mean)} ± {number_text(value.sd)}"


def _members(table: Table, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that belong to a cell."""
    return [trial for trial in trials if trial.mixture in table.mixtures() and trial.mode in table.modes]


def _no_table(name: str, trials: Sequence[Trial]) -> str:
    if not trials:
        return f"{name} has no trials yet; continue it with `python -m tuner.search --resume {name}`"
    published = "; ".join(
        f"{', '.join(sorted('+'.join(sorted(mixture)) for mixture in table.mixtures()))} ({' or '.join(table.modes)})"
        for table in TABLES
    )
    ours = ", ".join(sorted({trial.name for trial in trials}))
    return f"{name} has no training of the paper: it has {ours}; the paper's are {published}"
