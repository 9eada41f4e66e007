"""The pruner of a search that names none: it depends on how many examples its early evaluations see."""

from __future__ import annotations

import math

from model.config import TrialConfig
from model.data.source import DataSummary

MANY_EXAMPLES = 1000
"""Examples of a task in an early evaluation from which on `asha` is used. With 64, the noise of a score is 0.026, and asha then
stops good trials (docs/log.md)."""


def default_pruner(samples: tuple[TrialConfig, ...], summary: DataSummary) -> tuple[str, str]:
    """The pruner for trials like these samples of the space, and the reason as a sentence of the plan."""
    fewest = min(_early_examples(sample, summary) for sample in samples)
    if fewest >= MANY_EXAMPLES:
        seen = "all of select" if math.isinf(fewest) else f"{fewest:g} examples of a task or more"
        return "asha", f"pruner asha, because early evaluations see {seen}; --pruner names another"
    needed = f"asha needs {MANY_EXAMPLES} or all of select: set budget.early_eval_examples, or name a --pruner"
    return "median", f"pruner median, because early evaluations see {fewest:g} examples of a task; {needed}"


def _early_examples(sample: TrialConfig, summary: DataSummary) -> float:
    """Examples of a task that an early evaluation sees, the fewest over the tasks; infinite where it sees all of select."""
    limit = sample.budget.early_eval_examples or math.inf
    return min(limit if limit < summary.rows[task]["select"] else math.inf for task in sample.mixture)
