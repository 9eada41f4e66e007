"""Spaces of trials that take seconds, for whole searches: YAML in which `{backbone}` is still to be filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

OPTIONS = {"finalists": 0, "pruner": "none", "cpus_per_worker": 1, "gpus_per_worker": 0}
FIXED = {
    "backbone": "{backbone}",
    "max_length": 32,
    "mixture": ["sst", "quora", "sts"],
    "budget.early_eval_examples": 32,
}


def small(search: Mapping[str, Any], fixed: Mapping[str, Any], **options: Any) -> str:
    """A space of the mean over three tasks; `fixed` and `options` are added to those here."""
    space = {
        "name": "small",
        "metric": "mean",
        "targets": ["sst", "quora", "sts"],
        "options": OPTIONS | options,
        "fixed": FIXED | dict(fixed),
        "search": dict(search),
    }
    return yaml.safe_dump(space, sort_keys=False)


DROPOUTS = {"optim.dropout": {"choice": [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]}}
"""A grid of six."""
ONE_TRIAL = small(
    {"optim.dropout": {"choice": [0.1]}},
    {"pair_encoding": "cosine", "optim.lr": 1e-3, "budget.examples": 2400, "budget.evaluations": 5},
    trials=1,
)
"""One trial of five evaluations that is long enough to be disturbed."""
