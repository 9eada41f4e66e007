"""Names that are valid everywhere a run, a space or a task leaves one: folders, MLflow's experiments and models."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tasks import TASKS
from tuner.config.names import LONGEST, name_problem, valid_name
from tuner.space import available, load


@pytest.mark.parametrize(("name", "suggestion"), [
    ("a/b", "a-b"), ("Ann's space", "Ann-s-space"), ("space (1)", "space-1"), ("_x", "x"), (".hidden", "hidden"),
    ("", "unnamed"), ("é", "unnamed"), ("a\n", "a"), ("x" * (LONGEST + 1), "x" * LONGEST),
])  # fmt: skip
def test_an_invalid_name_gets_the_rule_and_a_suggestion(name: str, suggestion: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert "letters, digits, dots, dashes and underscores" in problem and f"at most {LONGEST}" in problem
    assert problem.endswith(f"such as {suggestion}")


@given(text=st.text(max_size=LONGEST + 20))
def test_a_suggestion_is_valid_and_a_valid_name_stays(text: str) -> None:
    suggestion = valid_name(text)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", suggestion) and len(suggestion) <= LONGEST
    assert name_problem(suggestion) is None
    is_valid = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None
    assert (name_problem(text) is None) == is_valid


def test_the_tasks_and_spaces_of_the_project_have_valid_names() -> None:
    assert [name for name in (*TASKS, *(load(space).name for space in available())) if name_problem(name)] == []
