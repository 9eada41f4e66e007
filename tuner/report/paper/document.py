"""A table beside the paper's as a document: grids of text, notes, caption and effects, whatever it is printed as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.config import ConfigError
from tuner.report.paper import caption, notes
from tuner.report.paper.cells import Cell, Estimate, cells_of
from tuner.report.paper.effect import Effect, effects_of
from tuner.report.paper.published import CUES, TABLES, TITLE, Table, Training
from tuner.report.paper.trials import Trial, read

ABSENT = "–"


@dataclass(frozen=True)
class Grid:
    """A table of text; its first column holds words, the others numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Document:
    """One table of the paper, with everything that must stand around it."""

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
        return f"{TITLE}: {self.table.title}. The paper beside {self.run}"


def documents(results: Mapping[str, Any]) -> list[Document]:
    """A document for each of the paper's tables that trials of the run belong to.

    Raises `ConfigError` when none does, or when complete trials hold no scores on dev.
    """
    trials, name = read(results), results["name"]
    found = [document(table, trials, results) for table in TABLES if _members(table, trials)]
    if not found:
        raise ConfigError([_no_table(name, trials)])
    complete = [trial for each in found for cell in each.cells for trial in cell.trials if trial.state == "COMPLETE"]
    if complete and not any(cell.measured for each in found for cell in each.cells):
        space = "paper_cfimdb" if found[0].table is CUES else "paper_table2"
        raise ConfigError(
            [
                f"no trial of {name} holds scores on dev at its last evaluation, so nothing can stand beside the paper's; "
                f"run `python -m tuner.search --space {space}`, or have your own space look at dev with `watch: [dev]`"
            ]
        )
    return found


def document(table: Table, trials: Sequence[Trial], results: Mapping[str, Any]) -> Document:
    """One table, from the trials of a run."""
    cells, data = cells_of(table, trials), results["data"]
    effects = effects_of(cells, data["rows"])
    members = _members(table, trials)
    told = [trial for trial in members if trial.state == "COMPLETE"] or members
    is_finished = results["finished"] is not None
    numbers = {trial.number for trial in trials}
    refused = [trial["reason"] for trial in results["trials"] if trial["number"] not in numbers]
    return Document(
        table=table,
        run=results["name"],
        is_finished=is_finished,
        cells=tuple(cells),
        effects=tuple(effects),
        ours=tuple(caption.ours(told, data, table)),
        differences=tuple(caption.differences(told, data, table)),
        notes=(
            *([] if is_finished else [notes.unfinished(results["name"])]),
            *notes.legend(cells),
            *([notes.CUES_NOTE] if table is CUES else []),
            *notes.mixed(table, cells),
            *notes.missing(table, cells),
            *notes.outside(trials, cells),
            *notes.refused(refused),
        ),
        verdict=tuple(notes.verdict(effects)),
    )


def wide(found: Document) -> list[Grid]:
    """One grid for each mode, with three numbers for each score."""
    columns = found.table.columns
    headers = ("training", *(f"{column.name} {kind}" for column in columns for kind in ("paper", "best epoch", "last")))
    return [
        Grid(mode, headers, tuple(_wide_row(found, mode, training) for training in found.table.trainings))
        for mode in found.table.modes
    ]


def _wide_row(found: Document, mode: str, training: Training) -> tuple[str, ...]:
    here = {cell.column: cell for cell in found.cells if (cell.mode, cell.training) == (mode, training)}
    texts = [_texts(here[column]) if column in here else (ABSENT,) * 3 for column in found.table.columns]
    return training.label, *(text for three in texts for text in three)


def narrow(found: Document) -> list[Grid]:
    """One grid for each mode and score."""
    headers = ("training", "paper", "best epoch", "last")
    return [
        Grid(
            f"{mode}, {column.name}",
            headers,
            tuple((cell.training.label, *_texts(cell)) for cell in found.cells if (cell.mode, cell.column) == (mode, column)),
        )
        for mode in found.table.modes
        for column in found.table.columns
    ]


def _texts(cell: Cell) -> tuple[str, str, str]:
    """The paper's number, ours at the best epoch, ours at the last evaluation."""
    mark = notes.MIXED if cell.mixed else ""
    last = f"{estimate_text(cell.last)} ({cell.last.n})" if cell.last else ABSENT
    return number_text(cell.paper), estimate_text(cell.best) + mark, last + mark


def effect_grids(found: Document) -> list[Grid]:
    """The effect of SMART, one grid for each mode that has any."""
    headers = ("mixture", "score", "difference", "s.e.", "in s.e.", "p", "seeds", "dev s.e.")
    rows = {mode: tuple(_effect_row(e) for e in found.effects if e.smart.mode == mode) for mode in found.table.modes}
    return [
        Grid(f"effect of SMART (with − without), {mode}, last evaluation", headers, each) for mode, each in rows.items() if each
    ]


def _effect_row(effect: Effect) -> tuple[str, ...]:
    found, sides = effect.comparison, [len(effect.without.measured), len(effect.smart.measured)]
    by = found.how if found.how == "one seed" else f"{found.how} {', '.join(map(str, dict.fromkeys(sides)))}"
    in_se = ABSENT if found.n_se is None else f"{found.n_se:+.1f}"
    difference = f"{'-' if found.difference < 0 else '+'}{number_text(abs(found.difference))}"
    numbers = (difference, number_text(found.se), in_se, p_text(found.p), by, number_text(effect.dev_se))
    return effect.smart.training.mixture_name, effect.smart.column.name, *numbers


def number_text(value: float | None) -> str:
    """As the paper writes scores: `.531`, `-.012`, `1.000`; a dash for nothing."""
    if value is None:
        return ABSENT
    text = f"{round(value, 3) + 0.0:.3f}"  # + 0.0 makes −0 a 0
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def p_text(value: float | None) -> str:
    """Three decimals, `<.001` below them."""
    return "<.001" if value is not None and value < 0.001 else number_text(value)


def estimate_text(value: Estimate | None) -> str:
    """`.531 ± .004`, or the mean alone where one trial gives no deviation."""
    if value is None:
        return ABSENT
    return number_text(value.mean) if value.sd is None else f"{number_text(value.mean)} ± {number_text(value.sd)}"


def _members(table: Table, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that stand in a cell."""
    return [trial for trial in trials if trial.mixture in table.mixtures() and trial.mode in table.modes]


def _no_table(name: str, trials: Sequence[Trial]) -> str:
    known = "; ".join(
        f"{', '.join(sorted('+'.join(sorted(mixture)) for mixture in table.mixtures()))} ({' or '.join(table.modes)})"
        for table in TABLES
    )
    if not trials:
        return f"{name} has no trials yet; go on with it by `python -m tuner.search --resume {name}`"
    there = ", ".join(sorted({f"{'+'.join(sorted(trial.mixture))} ({trial.mode})" for trial in trials}))
    return f"{name} has no training of the paper: it has {there}; the paper's are {known}"
