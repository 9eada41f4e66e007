"""The registry of pruners, by the names of `--pruner`. A new one is a module with its entry, and its name in `PRUNER_NAMES`."""

from __future__ import annotations

from importlib import import_module

from tuner.config.objective import Objective
from tuner.config.options import PRUNER_NAMES
from tuner.config.requirements import Requirements
from tuner.study.pruners.base import Pruner

PRUNERS: dict[str, Pruner] = {
    name: import_module(f"{__name__}.{name.replace('-', '_')}").PRUNER for name in PRUNER_NAMES
}  # fmt: skip


def is_by_rank(objective: Objective, requirements: Requirements) -> bool:
    """Whether trials are compared by Pareto rank: under several goals, and where a lower score may be a requirement's price."""
    return len(objective.goals) > 1 or bool(requirements.texts)


def pruner_problems(pruner: str, objective: Objective, requirements: Requirements) -> list[str]:
    """Why a known pruner cannot compare the trials of such a search; empty where it can."""
    if not is_by_rank(objective, requirements) or PRUNERS[pruner].pareto:
        return []
    several = f"--metric {objective.name} names several" if len(objective.goals) > 1 else "--require adds to it"
    usable = ", ".join(name for name, entry in PRUNERS.items() if entry.pareto)
    return [f"--pruner {pruner} compares trials by one goal, and {several}: use one of {usable}"]
