"""The reference is what the schema and the parsers say today."""

from __future__ import annotations

import re

import pytest

from docs import reference
from model.config import OptimConfig, TrialConfig, field_names
from tuner.config import options


def test_the_page_is_up_to_date() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run python -m docs.reference"


def test_every_setting_and_option_is_there() -> None:
    page = reference.page()
    settings = page.partition("## Options of a search\n")[0]
    rows = re.findall(r"^\| `([a-z_.0-9]+)` \| (.+) \| (.*) \| (.*) \| (.+) \|$", settings, re.MULTILINE)
    assert [name for name, *_ in rows if "." not in name or name in field_names()]
    assert {name for name, *_ in rows} == set(field_names())
    search = page.partition("## Options of a search\n")[2].partition("\n## ")[0]
    flags = {flag for action in options.parser()._actions for flag in action.option_strings if flag not in ("-h", "--help")}
    assert set(re.findall(r"^\| `(--[a-z-]+)", search, re.MULTILINE)) == flags


def test_a_field_without_a_meaning_would_be_seen() -> None:
    assert set(reference.meanings(OptimConfig)) == set(OptimConfig.model_fields)
    sections = {name for name, field in TrialConfig.model_fields.items() if hasattr(field.annotation, "model_fields")}
    assert set(reference.meanings(TrialConfig)) == set(TrialConfig.model_fields) - sections


def test_every_command_explains_every_option() -> None:
    found = reference.parsers()
    assert {"python -m tuner.search", "python -m tuner reproduce", "python -m model.cues"} <= {parser.prog for parser in found}
    assert not re.search(r"\|\s*\|$", reference.page(), re.MULTILINE), "a row without a meaning"


@pytest.mark.parametrize(
    ("setting", "row"),
    [
        ("optim.batch_size", "whole number | ≥ 1, ≤ 65536 | `32`"),
        ("budget.examples", "whole number | ≥ 1 |  "),
        ("smart.lambda", "number | ≥ 0 | `1.0`"),
        ("smart.task_lambda.sst", "number | ≥ 0 |  "),
        ("mixture", "list of text | not empty | `[sst, quora, sts]`"),
        ("seed", "whole number | ≥ 0, < 2147483648 | `0`"),
        ("mixing.ratios", "mapping from tasks to number | ≥ 0, ≤ 1 | `{}`"),
    ],
)
def test_rows(setting: str, row: str) -> None:
    assert f"| `{setting}` | {row.rstrip()}" in reference.page()
