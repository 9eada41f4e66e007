"""Parametrised cases of which few run in `make check`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """The cases, with the mark `slow` on all but the quick ones: those run in `make test`."""
    return [case if case in quick else _marked(case, pytest.mark.slow) for case in cases]


def endurance_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """The cases, with the mark `endurance` on all but the quick ones: those run in `make endurance`."""
    return [case if case in quick else _marked(case, pytest.mark.endurance) for case in cases]


def endurance(case: Any) -> Any:
    """The case with the mark `endurance`; a tuple is the values of several arguments."""
    return _marked(case, pytest.mark.endurance)


def _marked(case: Any, mark: pytest.MarkDecorator) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=mark)
