"""Prints documents as text for a terminal or a file, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.report.paper.cells import Cell
from tuner.report.paper.document import Document, Grid, effect_grids, narrow, wide
from tuner.report.paper.effect import Effect
from tuner.results.results_json import finite
from tuner.results.text import fits, text_table

SCHEMA_VERSION = 1


def print_text(console: Console, documents: Sequence[Document]) -> None:
    """Print documents one below the other."""
    for i, document in enumerate(documents):
        console.print(*([Text()] if i else []), text(document, console.width))


def text(document: Document, width: int) -> RenderableType:
    """Grids of at most `width` columns if possible: one for each mode, else one for each score."""
    grids = wide(document)
    if not all(fits(_table(grid), width) for grid in grids):
        grids = narrow(document)
    parts: list[RenderableType] = [Text(document.title, style="bold")]
    for heading, block in _blocks(document, grids):
        parts += [Text(), *([Text(heading, style="bold")] if heading else [])]
        if isinstance(block, Grid):
            parts.append(_table(block))
            continue
        bullets = Table.grid(padding=(0, 1))
        for line in block:
            bullets.add_row("-", Text(line, overflow="fold"))
        parts.append(bullets)
    return Group(*parts)


def _blocks(document: Document, grids: Sequence[Grid]) -> list[tuple[str, Grid | Sequence[str]]]:
    """The grids of a document and its lists, each with its heading, in order; empty lists are left out."""
    lists = (("", document.notes), ("ours", document.ours), ("where ours differs from the paper", document.differences))
    blocks: list[tuple[str, Grid | Sequence[str]]] = [*((grid.title, grid) for grid in grids), *lists]
    blocks += [*((grid.title, grid) for grid in effect_grids(document)), ("", document.verdict)]
    return [(heading, block) for heading, block in blocks if block]


def _table(grid: Grid) -> Table:
    return text_table(grid.headers, grid.headers[:1], grid.rows)


def markdown(document: Document) -> str:
    """Headings, pipe tables and lists."""
    parts = [f"## {_escaped(document.title)}"]
    for heading, block in _blocks(document, wide(document)):
        parts += [f"### {heading}"] if heading else []
        if isinstance(block, Grid):
            rules = ["---", *["---:"] * (len(block.headers) - 1)]
            rows = [map(_escaped, block.headers), rules, *(map(_escaped, row) for row in block.rows)]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
        else:
            parts.append("\n".join(f"- {_escaped(line)}" for line in block))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Text of a run without Markdown: no bar ends a cell, and nothing becomes emphasis, code, a link or a tag."""
    return "".join(f"\\{c}" if c in "\\`|*_<>[]" else c for c in text)


def as_json(documents: Sequence[Document]) -> str:
    """One object: every cell and effect with its numbers unrounded, and the sentences around them."""
    contents = {"schema_version": SCHEMA_VERSION, "run": documents[0].run, "finished": documents[0].is_finished}
    tables = [
        {"name": document.table.name, "title": document.table.title}
        | {"cells": [_cell(cell) for cell in document.cells], "effects": [_effect(effect) for effect in document.effects]}
        | {name: getattr(document, name) for name in ("ours", "differences", "notes", "verdict")}
        for document in documents
    ]
    return json.dumps(finite(contents | {"tables": tables}), indent=2, ensure_ascii=False)


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
