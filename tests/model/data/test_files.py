"""The tab-separated layout of `--data DIR`: valid and invalid rows, and the line that a message names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model.config import ConfigError
from model.data.example import Example, RowProblem, content_id, is_select
from model.data.files import MAX_FIELD, read_rows
from model.data.source import DataSource, inspect, read
from model.tasks import TASKS

SST_HEADER = "\tid\tsentence\tsentiment\n"


def rows_of(tmp_path: Path, body: str | bytes, task: str = "sst", header: str = SST_HEADER) -> list[Example | RowProblem]:
    path = tmp_path / "file.csv"
    path.write_bytes(header.encode() + (body if isinstance(body, bytes) else body.encode()))
    return list(read_rows(path, TASKS[task]))


def examples_of(rows: list[Example | RowProblem]) -> list[Example]:
    return [row for row in rows if isinstance(row, Example)]


def problems_of(rows: list[Example | RowProblem]) -> list[tuple[int, str]]:
    return [(row.line, row.sentence) for row in rows if isinstance(row, RowProblem)]


class TestGoodRows:
    def test_leading_spaces_quotes_and_row_numbers(self, tmp_path: Path) -> None:
        body = '0\tab1\t A plain one .\t3\n17\tab2\t" """""" Slow "" and unfunny"\t0\n2\tab3\tmid "quoted" words\t2\n'
        assert rows_of(tmp_path, body) == [
            Example("ab1", ("A plain one .",), 3.0),
            Example("ab2", ('""" Slow " and unfunny',), 0.0),
            Example("ab3", ('mid "quoted" words',), 2.0),
        ]

    def test_line_ends_of_windows_bom_and_blank_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "file.csv"
        path.write_bytes(b"\xef\xbb\xbfid\tsentence\tsentiment\r\na\tone\t1\r\n\r\nb\ttwo \rhalves\t2\r\n")
        assert list(read_rows(path, TASKS["sst"])) == [Example("a", ("one",), 1.0), Example("b", ("two  halves",), 2.0)]

    def test_quoted_field_may_span_lines_and_later_line_numbers_stay_right(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, '0\ta\t"first\nsecond\nthird"\t1\n1\tb\tfine\t9\n')
        assert rows[0] == Example("a", ("first\nsecond\nthird",), 1.0)
        assert problems_of(rows) == [(5, "sentiment is '9'; it must be an integer from 0 to 4")]

    def test_columns_are_found_by_name(self, tmp_path: Path) -> None:
        header = "similarity\tsentence2\textra\tsentence1\n"
        rows = rows_of(tmp_path, "3.2\tright\tx\tleft\n", "sts", header)
        assert rows == [Example(content_id(("left", "right")), ("left", "right"), 3.2)]

    def test_classes_may_be_written_as_floats(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, "0\ta\tx\ty\t1.0\n", "quora", "\tid\tsentence1\tsentence2\tis_duplicate\n")
        assert rows == [Example("a", ("x", "y"), 1.0)]

    @pytest.mark.parametrize("label", ["3", " 3.0 ", "+3", "3.", "30e-1", "0003"])
    def test_numbers_may_be_written_in_any_usual_way(self, tmp_path: Path, label: str) -> None:
        assert examples_of(rows_of(tmp_path, f"0\ta\ttext\t{label}\n"))[0].label == 3.0

    def test_missing_id_depends_on_the_text_alone(self, tmp_path: Path) -> None:
        with_empty = examples_of(rows_of(tmp_path, "0\t\tone text\t1\n1\t \tanother\t2\n"))
        without_column = examples_of(rows_of(tmp_path, "another\t2\none text\t1\n", header="sentence\tsentiment\n"))
        assert {e.texts: e.id for e in with_empty} == {e.texts: e.id for e in without_column}
        assert len({e.id for e in with_empty}) == 2


class TestBadRows:
    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ("0\ta\tonly three\n", "3 fields; the header names 4"),
            ("0\ta\tone\t1\t2\n", "5 fields; the header names 4"),
            ("0\ta\t  \t1\n", "sentence is empty"),
            ("0\ta\ttext\tgood\n", "sentiment is 'good'; it must be an integer from 0 to 4"),
            ("0\ta\ttext\t\n", "sentiment is ''; it must be"),
            ("0\ta\ttext\t5\n", "sentiment is '5'"),
            ("0\ta\ttext\t-1\n", "sentiment is '-1'"),
            ("0\ta\ttext\t1.5\n", "sentiment is '1.5'"),
            ("0\ta\ttext\tnan\n", "sentiment is 'nan'"),
            ("0\ta\ttext\tinf\n", "sentiment is 'inf'"),
            ("0\ta\ttext\t0_3\n", "sentiment is '0_3'"),
            ("0\ta\ttext\t\u0661\n", "sentiment is '\u0661'"),  # an Arabic-Indic 1
            ("0\ta\ttext\t\uff13\n", "sentiment is '\uff13'"),  # a full-width 3
            ("0\ta\ttext\t1e400\n", "sentiment is '1e400'"),
            ("0\ta\ttext\t0x1\n", "sentiment is '0x1'"),
            ("0\ta\ttext\t1,0\n", "sentiment is '1,0'"),
            (f"0\ta\ttext\t{'9' * 5000}\n", f"sentiment is '{'9' * 99}…"),
            ("0\ta\t\t7\n", "sentence is empty; sentiment is '7'"),
            (b"0\ta\tcaf\xe9\t1\n", "sentence is not UTF-8"),
            ('0\ta\t"open\t1\n', "a quote is opened and not closed"),
            ('0\ta\t"said" he\t1\n', "a quote is opened and not closed"),
            (f"0\ta\t{'x' * (MAX_FIELD + 1)}\t1\n", f"a field is longer than {MAX_FIELD} characters"),
        ],
    )
    def test_each_is_reported_at_its_line_and_its_neighbours_are_read(
        self, tmp_path: Path, body: str | bytes, sentence: str
    ) -> None:
        raw = body if isinstance(body, bytes) else body.encode()
        rows = rows_of(tmp_path, b"8\tx\tbefore\t1\n" + raw + b"9\ty\tafter\t2\n")
        [(line, given)] = problems_of(rows)
        assert line == 3
        assert given.startswith(sentence)
        assert examples_of(rows) == [Example("x", ("before",), 1.0), Example("y", ("after",), 2.0)]

    @pytest.mark.parametrize("later", ['It is 5"', '"quoted ""well"""', 'say "hi" twice', '"""at the start"'])
    def test_an_unclosed_quote_does_not_consume_later_rows(self, tmp_path: Path, later: str) -> None:
        body = f'0\ta\t"lone\t1\n1\tb\tmiddle\t2\n2\tc\t{later}\t3\n3\td\tlast\t4\n'
        rows = rows_of(tmp_path, body)
        assert [line for line, _ in problems_of(rows)] == [2]
        assert [e.id for e in examples_of(rows)] == ["b", "c", "d"]

    @pytest.mark.parametrize("label", ["5.1", "-0.1", "nan", "inf", "high", "0_3", "1e400", "3 .5"])
    def test_regression_range(self, tmp_path: Path, label: str) -> None:
        rows = rows_of(tmp_path, f"a\tb\t{label}\na\tc\t4.95\n", "sts", "sentence1\tsentence2\tsimilarity\n")
        assert problems_of(rows) == [(2, f"similarity is '{label}'; it must be a number from 0 to 5")]
        assert examples_of(rows)[0].label == 4.95

    def test_one_id_for_two_examples(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, "0\ta\ttext\t1\n1\ta\ttext\t1\n2\ta\ttext\t2\n3\ta\tother\t1\n")
        assert [line for line, _ in problems_of(rows)] == [4, 5]
        assert "id a has another text or label at line 2" in problems_of(rows)[0][1]
        assert len(examples_of(rows)) == 2


def zipped(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("file.csv", content)
    return archive.getvalue()


GOOD_FILE = (SST_HEADER + "".join(f"{i}\ts{i}\ta sentence\t{i % 5}\n" for i in range(50))).encode()


class TestHeader:
    @pytest.mark.parametrize("column", ["sentence", "sentiment", "id", "note"])
    def test_a_name_given_twice_is_refused(self, tmp_path: Path, column: str) -> None:
        with pytest.raises(ConfigError, match=f"file.csv: the header names {column} more than once"):
            rows_of(tmp_path, "", header=f"id\tnote\tsentence\tsentiment\t{column}\n")

    def test_unnamed_columns_may_repeat(self, tmp_path: Path) -> None:
        assert len(rows_of(tmp_path, "0\t0\ttext\t1\n", header="\t\tsentence\tsentiment\n")) == 1

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            (gzip.compress, "a gzip file; decompress it"),
            (bz2.compress, "a bzip2 file"),
            (lzma.compress, "an xz file"),
            (zipped, "a ZIP archive or a workbook; extract it"),
            (lambda content: content.decode().encode("utf-16"), "text in UTF-16; save it as tab-separated UTF-8"),
            (lambda content: content.decode().encode("utf-16-be"), "text in UTF-16"),
            (lambda content: content.decode().encode("utf-32"), "text in UTF-32"),
            (lambda content: content.replace(b"\n", b"\r"), "text whose lines end in CR, as on old Macs"),
            (lambda content: content.replace(b"\n", b"\r") * 200, "text whose lines end in CR, as on old Macs"),
            (lambda content: content.replace(b"\n", b"\r\r\n"), "text whose lines end in CR CR LF"),
            (lambda content: b"PAR1\x15\x04" + content[9:], "a Parquet file"),
            (lambda content: b"\x7fELF\x02\x01\x01\x00" + content[9:], "a binary file"),
            (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS; fetch"),
            (lambda content: b"\n<!DOCTYPE html>\n<html>", "a web page"),
            (lambda content: b'\xef\xbb\xbf{"text": "a", "label": 1}\n', "JSON"),
        ],
    )
    def test_another_kind_of_file_is_named(self, tmp_path: Path, change: Callable[[bytes], bytes], kind: str) -> None:
        with pytest.raises(ConfigError) as error:
            rows_of(tmp_path, change(GOOD_FILE), header="")
        (problem,) = error.value.problems
        assert problem.startswith(f"{tmp_path / 'file.csv'}: the file seems to be {kind}")
        assert problem.isprintable()

    @pytest.mark.parametrize(
        ("header", "shown"),
        [
            (b"id\tsentence\tsentiment \n", "no column sentiment; the columns are id, sentence, 'sentiment '"),
            (b"\x1b[31m\tcaf\xe9\n", "the columns are \ufffd[31m, caf\ufffd ("),
            (b"\t".join([b"column"] * 5000) + b"\n", "lumn, column (the"),
        ],
    )
    def test_names_are_shown_short_and_printable(self, tmp_path: Path, header: bytes, shown: str) -> None:
        with pytest.raises(ConfigError) as error:
            rows_of(tmp_path, header, header="")
        (problem,) = error.value.problems
        assert shown in problem
        assert len(problem) < len(str(tmp_path)) + 400
        assert problem.isprintable()


def write_corpus(folder: Path, n: int = 60, bad: int = 0) -> Path:
    """Small sst and sts files with ids s0, s1, ...; `bad` rows without a legal label end sst's train."""
    folder.mkdir(exist_ok=True)
    good = "".join(f"{i}\ts{i}\tsentence number {i}\t{i % 5}\n" for i in range(n))
    wrong = "".join(f"{i}\tb{i}\tsentence\t8\n" for i in range(bad))
    pairs = "".join(f"{i}\tp{i}\tleft {i}\tright {i}\t{i % 6}\n" for i in range(n))
    (folder / "ids-sst-train.csv").write_text(SST_HEADER + good + wrong)
    (folder / "ids-sst-dev.csv").write_text(SST_HEADER + good)
    for part in ("train", "dev"):
        (folder / f"sts-{part}.csv").write_text("\tid\tsentence1\tsentence2\tsimilarity\n" + pairs)
    return folder


class TestSource:
    def test_read_and_inspect_agree(self, tmp_path: Path) -> None:
        source = DataSource.parse(str(write_corpus(tmp_path)))
        dataset = read(source, ["sts", "sst"])
        assert dataset.summary == inspect(source, ["sts", "sst"])
        n_select = sum(is_select("sst", f"s{i}") for i in range(60))
        assert dataset.summary.rows["sst"] == {"train": 60 - n_select, "select": n_select, "dev": 60}
        assert {name: len(rows) for name, rows in dataset.tasks["sst"].items()} == dataset.summary.rows["sst"]
        assert not dataset.summary.generated

    def test_sha256_depends_on_the_content_only(self, tmp_path: Path) -> None:
        here = write_corpus(tmp_path / "here")
        there = write_corpus(tmp_path / "there")
        requoted = (there / "ids-sst-dev.csv").read_text().replace("sentence number 3\t", '" sentence number 3 "\t')
        (there / "ids-sst-dev.csv").write_bytes(requoted.replace("\n", "\r\n").encode())
        sha = inspect(DataSource.parse(str(here)), ["sst", "sts"]).sha256
        assert inspect(DataSource.parse(str(there)), ["sts", "sst"]).sha256 == sha
        (there / "ids-sst-dev.csv").write_text(requoted.replace("sentence number 4\t4", "sentence number 4\t3"))
        assert inspect(DataSource.parse(str(there)), ["sst", "sts"]).sha256 != sha
        assert inspect(DataSource.parse(str(here)), ["sst"]).sha256 != sha

    def test_bad_rows_stop_unless_skipped_and_counted(self, tmp_path: Path) -> None:
        source = DataSource.parse(str(write_corpus(tmp_path, bad=25)))
        for look in (inspect, read):
            with pytest.raises(ConfigError) as error:
                look(source, ["sst", "sts"])
            problems = error.value.problems
            assert len(problems) == 22
            assert problems[0].startswith(f"{tmp_path / 'ids-sst-train.csv'}:62: sentiment is '8'")
            assert problems[20] == "and 5 more"
            assert "25 bad rows" in problems[21]
            assert "--skip-bad-rows" in problems[21]
        summary = read(source, ["sst", "sts"], skip_bad_rows=True).summary
        assert summary.skipped == {"sst": 25, "sts": 0}
        assert sum(summary.rows["sst"].values()) == 120

    def test_everything_that_cannot_be_opened_is_listed_at_once(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        (tmp_path / "sts-dev.csv").write_text("id,sentence1,sentence2,similarity\n")
        (tmp_path / "ids-sst-dev.csv").write_text("")
        with pytest.raises(ConfigError) as error:
            inspect(DataSource.parse(str(tmp_path)), ["sst", "quora", "sts"])
        text = str(error.value)
        assert "quora-train.csv: No such file" in text
        assert "quora-dev.csv: No such file" in text
        assert "no column sentence1, sentence2, similarity; the columns are id,sentence1,sentence2,similarity" in text
        assert "ids-sst-dev.csv: the file seems to be an empty file" in text
        assert "--tasks" in text

    def test_an_empty_split_is_an_error(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        (tmp_path / "ids-sst-dev.csv").write_text(SST_HEADER)
        with pytest.raises(ConfigError, match="no usable rows for sst dev"):
            read(DataSource.parse(str(tmp_path)), ["sst"])

    def test_missing_folder_and_unknown_task(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is not a folder; give a folder, demo, hub or hub=DIR"):
            DataSource.parse(str(tmp_path / "nowhere"))
        with pytest.raises(ConfigError, match="there is no task qnli; the tasks are sst, quora, sts, cfimdb"):
            inspect(DataSource.parse("demo"), ["qnli"])


def test_rows_are_not_kept_in_memory(tmp_path: Path) -> None:
    """For a file of 10 MB only its ids, some hundred bytes each, and one record are in memory at once."""
    path = tmp_path / "file.csv"
    path.write_text(SST_HEADER + "".join(f"{i}\tid{i}\t{'word ' * 400}{i}\t3\n" for i in range(5000)), encoding="utf-8")
    tracemalloc.start()
    try:
        assert sum(isinstance(row, Example) for row in read_rows(path, TASKS["sst"])) == 5000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < path.stat().st_size / 5
