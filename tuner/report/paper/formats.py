"""A document as text for a terminal or a file, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.report.paper.cells import Cell
from tuner.report.paper.document import Document, Grid, effect_grids, narrow, wide
from tuner.report.paper.effect import Effect
from tuner.results.results_json import finite
from tuner.results.text import fits

SCHEMA_VERSION = 1


def text(found: Document, width: int) -> RenderableType:
    """Grids of at most `width` columns where they can be: one for each score where one for all would be wider."""
    whole = [_table(grid) for grid in wide(found)]
    is_wide = all(fits(each, width) for each in whole)
    parts: list[RenderableType] = [Text(found.title, style="bold")]
    for grid in wide(found) if is_wide else narrow(found):
        parts += [Text(), Text(grid.title, style="bold"), _table(grid)]
    parts += _listed("", found.notes)
    parts += _listed("ours", found.ours)
    parts += _listed("where ours differs from the paper", found.differences)
    for grid in effect_grids(found):
        parts += [Text(), Text(grid.title, style="bold"), _table(grid)]
    return Group(*parts, *_listed("", found.verdict))


def _table(grid: Grid) -> Table:
    """Words to the left, numbers to the right; no cell is read as markup."""
    table = Table(box=None, pad_edge=False)
    for place, header in enumerate(grid.headers):
        table.add_column(header, justify="right" if place else "left")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table


def _listed(heading: str, lines: Sequence[str]) -> list[RenderableType]:
    """Lines with a hanging indent under a heading; nothing of no lines."""
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("-", Text(line, overflow="fold"))
    return [Text(), *([Text(heading, style="bold")] if heading else []), table]


def markdown(found: Document) -> str:
    """Headings, pipe tables and lists."""
    parts = [f"## {_escaped(found.title)}"]
    parts += [part for grid in wide(found) for part in _markdown_grid(grid)]
    parts += _markdown_list("", found.notes)
    parts += _markdown_list("ours", found.ours)
    parts += _markdown_list("where ours differs from the paper", found.differences)
    parts += [part for grid in effect_grids(found) for part in _markdown_grid(grid)]
    return "\n\n".join([*parts, *_markdown_list("", found.verdict)])


def _markdown_grid(grid: Grid) -> Iterator[str]:
    yield f"### {grid.title}"
    rules = ["---", *["---:"] * (len(grid.headers) - 1)]
    yield "\n".join(
        "| " + " | ".join(row) + " |" for row in (map(_escaped, grid.headers), rules, *(map(_escaped, r) for r in grid.rows))
    )


def _markdown_list(heading: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [*([f"### {heading}"] if heading else []), "\n".join(f"- {_escaped(line)}" for line in lines)]


def _escaped(text: str) -> str:
    """No bar ends a cell, and nothing from the run is read as emphasis, code, a link or a tag."""
    return "".join(f"\\{c}" if c in "\\`|*_<>[]" else c for c in text)


def as_json(found: Sequence[Document]) -> str:
    """One object: every cell and effect with its numbers unrounded, and the sentences around them."""
    contents = {"schema_version": SCHEMA_VERSION, "run": found[0].run, "finished": found[0].is_finished}
    return json.dumps(finite(contents | {"tables": [_document(each) for each in found]}), indent=2, ensure_ascii=False)


def _document(found: Document) -> dict[str, Any]:
    return {
        "name": found.table.name,
        "title": found.table.title,
        "cells": [_cell(cell) for cell in found.cells],
        "effects": [_effect(effect) for effect in found.effects],
        "ours": found.ours,
        "differences": found.differences,
        "notes": found.notes,
        "verdict": found.verdict,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "training": cell.training.label,
        "mixture": sorted(cell.training.tasks_with(cell.column) or ()),
        "smart": cell.training.smart,
        "mode": cell.mode,
        "metric": cell.column.metric,
        "paper": cell.paper,
        "best_epoch": asdict(cell.best) if cell.best else None,
        "last": asdict(cell.last) if cell.last else None,
        "seeds": cell.seeds,
        "trials": [trial.number for trial in cell.measured],
        "mixed": cell.mixed,
        "missing": cell.absences,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "mixture": sorted(effect.smart.training.tasks_with(effect.smart.column) or ()),
        "mode": effect.smart.mode,
        "metric": effect.smart.column.metric,
        **asdict(effect.comparison),
        "n_se": effect.comparison.n_se,
        "dev_se": effect.dev_se,
        "is_inside": effect.is_inside,
        "confounders": effect.confounders,
    }


def print_text(console: Console, found: Sequence[Document]) -> None:
    """Print documents one below the other."""
    for place, each in enumerate(found):
        console.print(*([Text()] if place else []), text(each, console.width))
