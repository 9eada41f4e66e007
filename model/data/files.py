"""The layout of `--data DIR`: one tab-separated file for each task's train and dev, with a header.

The columns are an unnamed row number (ignored), `id` (optional), the task's texts and its label, in any order; no name occurs
twice. Fields are quoted as in CSV, so a quoted field may contain doubled quotes, and tabs or line ends (not both). The text is
UTF-8. An id may occur twice in a file only with the same texts and label; train and dev may use the same ids.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.config import ConfigError
from model.data.example import Example, RowProblem, parse_example
from model.data.file_contents import kind_of
from model.section import shown
from model.tasks import Task

ID_COLUMN = "id"
UNDECODABLE = re.compile("[\udc80-\udcff]")
"""What bytes that are not UTF-8 become under the error handler `surrogateescape`."""
MAX_FIELD = csv.field_size_limit()
"""Largest number of characters in a field of the csv module."""
LONE_QUOTE = 'a quote is opened and not closed; quote the field and double the quotes in it: "say ""hi"""'
_CONTENTS = 2**64
"""Upper bound of the hashes of rows."""

Record = tuple[int, list[str] | str]
"""Line at which it begins; its fields, or a sentence why it cannot be read."""


def read_rows(path: Path, task: Task) -> Iterator[Example | RowProblem]:
    """The rows of one file, in order. The header is read immediately: raises `ConfigError` if the file cannot be used at all.

    Rows are read lazily; only hashes of the ids are kept in memory.
    """
    records = _records(_physical_lines(path))
    _, header = next(records, (1, []))
    problem = _header_problem(header, task)
    if problem is not None:
        kind = kind_of(path, "tab-separated UTF-8")
        raise ConfigError([f"{shown(path)}: {problem if kind is None else f'the file seems to be {kind}'}"])
    return _rows(path, task, header, records)


def _header_problem(header: Sequence[str] | str, task: Task) -> str | None:
    """Why the columns cannot be found, in a sentence; None for a good header. header: the names, or why it cannot be read."""
    if isinstance(header, str):
        return f"the header in line 1 cannot be read: {header}; save the file as tab-separated UTF-8"
    missing = [column for column in (*task.text_columns, task.label_column) if column not in header]
    if missing:
        # quotes show white space around a name
        names = ", ".join(column if column == column.strip() else repr(column) for column in header if column) or "none"
        rule = "the file must be tab-separated and begin with a header"
        return f"no column {', '.join(missing)}; the columns are {shown(names)} ({rule})"
    repeated = [column for column, n in Counter(header).items() if column and n > 1]
    if repeated:
        return f"the header names {shown(', '.join(repeated))} more than once; name each column once, and leave out the others"
    return None


def _rows(path: Path, task: Task, header: Sequence[str], records: Iterator[Record]) -> Iterator[Example | RowProblem]:
    seen: dict[int, int] = {}  # by hash of the id: line · 2^64 + hash of the row, as one integer to halve the memory
    for line, fields in records:
        row = fields if isinstance(fields, str) else _example(task, header, fields)
        if isinstance(row, Example) and ID_COLUMN in header:
            content = hash(row) % _CONTENTS
            first_line, first_content = divmod(seen.setdefault(hash(row.id), line * _CONTENTS + content), _CONTENTS)
            if first_content != content:
                row = f"id {shown(row.id)} has another text or label at line {first_line}; an id must name one example"
        yield row if isinstance(row, Example) else RowProblem(shown(path), line, row)


def _example(task: Task, header: Sequence[str], fields: Sequence[str]) -> Example | str:
    """One record as an example, or a sentence with what is wrong."""
    if len(fields) != len(header):
        return f"{len(fields)} fields; the header names {len(header)} (is a tab in a text unquoted, or a field missing?)"
    row = dict(zip(header, fields, strict=True))
    undecodable = [column for column in header if UNDECODABLE.search(row[column])]
    if undecodable:
        return f"{shown(', '.join(undecodable))} is not UTF-8; save the file as UTF-8"
    texts = [row[column] for column in task.text_columns]
    return parse_example(task, task.text_columns, texts, task.label_column, row[task.label_column], row.get(ID_COLUMN))


def _physical_lines(path: Path) -> Iterator[str]:
    """The lines of the file, each ending in one \\n. A lone CR becomes a space; bytes that are not UTF-8 become surrogates.

    Raises `ConfigError` if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
                if line.endswith(b"\n") or line.strip():
                    plain = line.removesuffix(b"\n").removesuffix(b"\r").replace(b"\r", b" ")
                    yield plain.decode("utf-8", "surrogateescape") + "\n"
    except OSError as error:
        raise ConfigError([f"cannot read {shown(path)}: {error.strerror}"]) from None


def _records(lines: Iterator[str]) -> Iterator[Record]:
    """Split lines into records, which may span several lines; blank lines are skipped.

    After a record that cannot be read, reading continues at the line after its first, so that one unclosed quote does not
    consume the rows after it.
    """
    ahead: deque[str] = deque()  # lines that were read but belong to no record yet
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
    """The record that begins with `ahead`, or what is wrong with it, and its number of lines: 0 at the end.

    The lines it needs are moved from `lines` to `ahead`.
    """

    def reading() -> Iterator[str]:
        yield from tuple(ahead)
        for line in lines:
            ahead.append(line)
            yield line

    reader = csv.reader(reading(), delimiter="\t", strict=True)
    try:
        fields = next(reader, None)
    except csv.Error as error:
        too_long = f"a field is longer than {MAX_FIELD} characters, or its quote is never closed"
        return too_long if "field limit" in str(error) else LONE_QUOTE, 1
    if fields is None:
        return [], 0
    if any("\n" in field and "\t" in field for field in fields):  # an unclosed quote was paired with one in a later row
        return LONE_QUOTE, 1
    return fields, reader.line_num
