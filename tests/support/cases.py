"""Parametrised cases of which few run in `make check` and all in `make test`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """The cases, with the mark `slow` on all but the quick ones."""
    return [case if case in quick else slow(case) for case in cases]


def slow(case: Any) -> Any:
    """The case with the mark `slow`; a tuple is the values of several arguments."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
