"""The rule for names of runs, spaces and tasks, which become folders, MLflow experiments and registered models."""

from __future__ import annotations

import re

LONGEST = 100
"""Characters of the longest name."""


def name_problem(name: str) -> str | None:
    """The rule with a valid name like the given one; None for a valid name."""
    suggestion = valid_name(name)
    rule = f"use letters, digits, dots, dashes and underscores, a letter or digit first, at most {LONGEST} characters"
    return None if suggestion == name else f"{rule}, such as {suggestion}"


def valid_name(text: str, longest: int = LONGEST) -> str:
    """`text` without what a name may not have: `space (1)` becomes `space-1`."""
    inner = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+$", "", text)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", inner)[:longest] or "unnamed"
