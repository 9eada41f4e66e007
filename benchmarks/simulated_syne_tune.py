"""Syne Tune 0.13 under the simulator's clock: its ASHA and MOBSTER, driven as its `Tuner` does it.

The schedulers are the objects of the installed package with their defaults (stopping, first rung 1, η = 3, no default
configuration first); this module makes the calls of Syne Tune's `Tuner`. MOBSTER is ASHA with a Gaussian process over
configurations and rungs instead of random draws.

Syne Tune is no dependency of the project, and belongs into an environment of its own that sees the project's packages:

    python3.11 -m venv syne
    .venv/bin/python -c 'import site; print(site.getsitepackages()[0])' > syne/lib/python3.11/site-packages/project.pth
    syne/bin/pip install --no-deps syne-tune==0.13.0 autograd
    syne/bin/python -m benchmarks.policies --curves DIR "Syne Tune ASHA" "Syne Tune MOBSTER" "stock Ray"
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, cast

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.curves import RecordedSpace
from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.study import Suggestion, Verdict

VERSION = "0.13.0"
NAMES = {"Syne Tune ASHA": "ASHA", "Syne Tune MOBSTER": "MOBSTER"}
"""Policies, by the class of `syne_tune.optimizer.baselines`."""
METRIC = "score"
RESOURCE = "evaluation"
NOT_INSTALLED = (
    f"Syne Tune {VERSION} and autograd are not installed in this environment; benchmarks/simulated_syne_tune.py says how to "
    "install them into one of their own"
)


def is_installed() -> bool:
    """Whether this environment has both packages."""
    try:
        return bool(metadata.version("syne-tune") and metadata.version("autograd"))
    except metadata.PackageNotFoundError:
        return False


class SyneTune:
    """The decisions of one of Syne Tune's schedulers; the space's start configurations are tried first."""

    def __init__(self, name: str, space: RecordedSpace, objective: Objective, n_evaluations: int, seed: int) -> None:
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines
        from syne_tune.optimizer.scheduler import SchedulerDecision

        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        np.random.seed(seed)  # some of its searchers draw from the global generators
        random.seed(seed)
        self._space, self._objective = space, objective
        self._trial_class, self._decision = Trial, SchedulerDecision
        self._scheduler = getattr(baselines, NAMES[name])(
            _config_space(space),
            metric=METRIC,
            mode="max",
            resource_attr=RESOURCE,
            max_t=n_evaluations,
            points_to_evaluate=[_by_plain_name(point) for point in space.start],
            search_options={"debug_log": False},
            random_seed=seed,
        )
        self._trials: list[Any] = []
        self._last: dict[int, dict[str, Any]] = {}

    def ask(self) -> Suggestion | None:
        number = len(self._trials)
        suggestion = self._scheduler.suggest(trial_id=number)
        if suggestion is None:
            return None
        trial = self._trial_class(number, suggestion.config, datetime.now(UTC))
        self._trials.append(trial)
        self._scheduler.on_trial_add(trial=trial)
        values = {p.name: _plain(suggestion.config[_plain_name(p.name)]) for p in self._space.parameters}
        return Suggestion(number, cast(TrialConfig, self._space.parse(values)))

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        trial, score = self._trials[number], self._objective.score(evaluation.metrics)
        if score != score:
            self._scheduler.on_trial_error(trial)
            return Verdict.STOP
        result = self._last[number] = {METRIC: score, RESOURCE: evaluation.index}
        decision = self._scheduler.on_trial_result(trial, dict(result))
        if evaluation.is_last or decision == self._decision.CONTINUE:
            return Verdict.CONTINUE
        self._scheduler.on_trial_remove(trial)
        return Verdict.PRUNE

    def release(self, number: int) -> None:
        """These schedulers stop trials, they pause none."""

    def complete(self, number: int) -> None:
        self._scheduler.on_trial_complete(self._trials[number], self._last[number])


def _config_space(space: RecordedSpace) -> dict[str, Any]:
    return {_plain_name(p.name): _domain(p.distributions(())[p.name]) for p in space.parameters}


def _domain(distribution: Any) -> Any:
    """Syne Tune's domain for a distribution of Optuna; numbers to choose from are ordered."""
    from syne_tune import config_space

    match distribution:
        case CategoricalDistribution(choices=choices):
            is_ordered = all(isinstance(choice, int | float) for choice in choices)
            return config_space.ordinal(list(choices)) if is_ordered else config_space.choice(list(choices))
        case IntDistribution(low=low, high=high):
            return config_space.randint(low, high)
        case FloatDistribution(low=low, high=high, log=True):
            return config_space.loguniform(low, high)
        case FloatDistribution(low=low, high=high):
            return config_space.uniform(low, high)
    raise AssertionError(f"no domain for {distribution}")


def _plain_name(name: str) -> str:
    return name.replace(".", "_")


def _by_plain_name(point: Mapping[str, Any]) -> dict[str, Any]:
    return {_plain_name(name): value for name, value in point.items()}


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's."""
    return value.item() if isinstance(value, np.generic) else value
