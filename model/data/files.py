"""The layout of `--data DIR`: one tab-separated file for each task's train and dev, with a header.

The columns are an unnamed row number (not used), `id` (optional), the task's texts and its label, in any order. Fields are
quoted as CSV does, so a quoted field may hold doubled quotes, and tabs or line ends (not both). The text is UTF-8. An id may
come twice in a file only with the same texts and label; train and dev may number their rows alike.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
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

_CONTENTS = 2**64
"""Hashes of rows are below it."""

Record = tuple[int, list[str] | str]
"""Line at which it begins; its fields, or a sentence why it has none."""


def read_rows(path: Path, task: Task) -> Iterator[Example | RowProblem]:
    """The rows of one file, in order. The header is read at once: raises `ConfigError` when the file cannot be used at all.

    Rows are read as they are asked for: of a file as large as the memory no more is held than its ids.
    """
    records = _records(_physical_lines(path))
    _, header = next(records, (1, []))
    if isinstance(header, str):
        raise ConfigError([f"{path}:1: the header cannot be read: {header}; save the file as tab-separated UTF-8"])
    missing = [column for column in (*task.text_columns, task.label_column) if column not in header]
    if missing:
        present = ", ".join(column for column in header if column) or "none"
        mend = "the file must be tab-separated and begin with a header"
        raise ConfigError([f"{path}: no column {', '.join(missing)}; the columns are {present} ({mend})"])
    return _rows(path, task, header, records)


def _rows(path: Path, task: Task, header: Sequence[str], records: Iterator[Record]) -> Iterator[Example | RowProblem]:
    seen: dict[int, int] = {}  # hashes of ids, and line and hash of what they stand for in one number: half the memory of both
    for line, fields in records:
        row = fields if isinstance(fields, str) else _example(task, header, fields)
        if isinstance(row, Example) and ID_COLUMN in header:
            content = hash(row) % _CONTENTS
            first_line, first_content = divmod(seen.setdefault(hash(row.id), line * _CONTENTS + content), _CONTENTS)
            if first_content != content:
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


def _physical_lines(path: Path) -> Iterator[str]:
    """The lines of the file, each ending in one \\n. A lone CR becomes a space; bytes that are not UTF-8 become surrogates.

    Raises `ConfigError` when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
                if line.endswith(b"\n") or line.strip():
                    plain = line.removesuffix(b"\n").removesuffix(b"\r").replace(b"\r", b" ")
                    yield plain.decode("utf-8", "surrogateescape") + "\n"
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None


def _records(lines: Iterator[str]) -> Iterator[Record]:
    """Cut lines into records, which may span several of them; blank lines are no records.

    A record that cannot be read costs its first line only: reading goes on at the next line, so that one lone quote does not
    swallow the rows after it.
    """
    ahead: deque[str] = deque()  # what was read of the file, and is of no record yet
    start = 1
    while True:
        fields, n_lines = _next_record(ahead, lines)
        if not n_lines:
            return
        if fields:
            yield start, fields
        for _ in range(n_lines):
            ahead.popleft()
        start += n_lines


def _next_record(ahead: deque[str], lines: Iterator[str]) -> tuple[list[str] | str, int]:
    """The record that begins with `ahead`, or what is wrong with it, and the number of lines it takes: 0 at the end.

    What it needs of `lines` is put into `ahead`.
    """
    reader = csv.reader(_reading(ahead, lines), delimiter="\t", strict=True)
    try:
        fields = next(reader, None)
    except csv.Error as error:
        too_long = f"a field is longer than {MAX_FIELD} characters, or its quote is never closed"
        return too_long if "field limit" in str(error) else LONE_QUOTE, 1
    if fields is None:
        return [], 0
    if any("\n" in field and "\t" in field for field in fields):  # a lone quote met a later one: rows in between were swallowed
        return LONE_QUOTE, 1
    return fields, reader.line_num


def _reading(ahead: deque[str], lines: Iterator[str]) -> Iterator[str]:
    """What lies in `ahead`, then `lines`, which go there."""
    yield from tuple(ahead)
    for line in lines:
        ahead.append(line)
        yield line
