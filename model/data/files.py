"""The layout of `--data DIR`: one tab-separated file for each task's train and dev, with a header.

The columns are an unnamed row number (not used), `id` (optional), the task's texts and its label, in any order. Fields are
quoted as CSV does, so a quoted field may hold doubled quotes, and tabs or line ends (not both). The text is UTF-8. An id may
come twice in a file only with the same texts and label; train and dev may number their rows alike.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from model.config import ConfigError
from model.data.example import Example, RowProblem, parse_example
from model.tasks import Task

ID_COLUMN = "id"
UNDECODABLE = re.compile("[\udc80-\udcff]")
"""What the error handler `surrogateescape` makes of bytes that are not UTF-8."""
MAX_FIELD = csv.field_size_limit()
"""Characters that the csv module takes in one field."""

LONE_QUOTE = 'a quote is opened and not closed; quote the field and double the quotes in it: "say ""hi"""'

Record = tuple[int, list[str] | str]
"""Line at which it begins; its fields, or a sentence why it has none."""


def read_rows(path: Path, task: Task) -> Iterator[Example | RowProblem]:
    """The rows of one file, in order. The header is read at once: raises `ConfigError` when the file cannot be used at all."""
    try:
        lines = _physical_lines(path)
        _, header = next(_records(lines), (1, []))
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    if isinstance(header, str):
        raise ConfigError([f"{path}:1: the header cannot be read: {header}"])
    missing = [column for column in (*task.text_columns, task.label_column) if column not in header]
    if missing:
        present = ", ".join(column for column in header if column) or "none"
        mend = "the file must be tab-separated and begin with a header"
        raise ConfigError([f"{path}: no column {', '.join(missing)}; the columns are {present} ({mend})"])
    return _rows(path, task, header, lines)


def _rows(path: Path, task: Task, header: Sequence[str], lines: list[str]) -> Iterator[Example | RowProblem]:
    seen: dict[str, tuple[int, int]] = {}
    for line, fields in islice(_records(lines), 1, None):
        row = fields if isinstance(fields, str) else _example(task, header, fields)
        if isinstance(row, Example) and ID_COLUMN in header:
            first_line, content = seen.setdefault(row.id, (line, hash(row)))
            if content != hash(row):
                row = f"id {row.id} stands with another text or label at line {first_line}; an id must name one example"
        yield row if isinstance(row, Example) else RowProblem(str(path), line, row)


def _example(task: Task, header: Sequence[str], fields: Sequence[str]) -> Example | str:
    """One record as an example, or what is wrong with it."""
    if len(fields) != len(header):
        return f"{len(fields)} fields; the header names {len(header)} (is a tab in a text unquoted, or a field missing?)"
    row = dict(zip(header, fields, strict=True))
    undecodable = [column for column in header if UNDECODABLE.search(row[column])]
    if undecodable:
        return f"{', '.join(undecodable)} is not UTF-8; save the file as UTF-8"
    texts = [row[column] for column in task.text_columns]
    return parse_example(task, task.text_columns, texts, task.label_column, row[task.label_column], row.get(ID_COLUMN))


def _physical_lines(path: Path) -> list[str]:
    """The lines of the file, each ending in one \\n. A lone CR becomes a space; bytes that are not UTF-8 become surrogates."""
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    return [line.removesuffix(b"\r").replace(b"\r", b" ").decode("utf-8", "surrogateescape") + "\n" for line in lines]


def _records(lines: Sequence[str]) -> Iterator[Record]:
    """Cut lines into records, which may span several of them; blank lines are no records.

    A record that cannot be read costs its first line only: reading goes on at the next line, so that one lone quote does not
    swallow the rows after it.
    """
    start = 0
    while start < len(lines):
        fields, n_lines = _next_record(lines, start)
        if fields:
            yield start + 1, fields
        start += n_lines


def _next_record(lines: Sequence[str], start: int) -> tuple[list[str] | str, int]:
    """The record that begins at index `start`, or what is wrong with it, and the number of lines it takes."""
    reader = csv.reader((lines[i] for i in range(start, len(lines))), delimiter="\t", strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        too_long = f"a field is longer than {MAX_FIELD} characters, or its quote is never closed"
        return too_long if "field limit" in str(error) else LONE_QUOTE, 1
    if any("\n" in field and "\t" in field for field in fields):  # a lone quote met a later one: rows in between were swallowed
        return LONE_QUOTE, 1
    return fields, reader.line_num
