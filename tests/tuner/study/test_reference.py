"""With one trial at a time the study decides exactly as plain `optuna.Study.optimize` does."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tests.support.cases import slow_but
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import Study, Verdict

BUDGET, N_EVALUATIONS, SEED = 20, 10, 11

SPACE = """\
name: curves
search:
  optim.lr: {float: [1.0e-6, 1.0e-3], log: true}
  optim.dropout: {float: [0.0, 0.5]}
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 3], when: {smart.enabled: true}}
"""

SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=SEED),
    "tpe": lambda: TPESampler(seed=SEED, n_startup_trials=10, multivariate=True, group=True),
}
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_startup_trials=2, n_warmup_steps=3),
    "percentile": lambda: PercentilePruner(25.0, n_startup_trials=2, n_warmup_steps=3),
    "asha": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource=10, reduction_factor=2),
    "wilcoxon": lambda: WilcoxonPruner(n_startup_steps=3),
    "none": NopPruner,
}


def curve(lr: float, dropout: float, steps: int, index: int) -> float:
    """A learning curve whose end the parameters decide; slow learners catch up, so that pruners can err."""
    end = 0.9 - 0.08 * abs(math.log10(lr) + 4.5) - 0.3 * dropout + 0.02 * steps
    speed = 0.3 + dropout
    return end * (1 - math.exp(-speed * index)) + 0.01 * math.sin(17 * index + 1000 * dropout)


def reference(sampler: str, pruner: str, n_trials: int) -> optuna.Study:
    """Plain Optuna, knowing nothing of the classes under test."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("optim.lr", 1e-6, 1e-3, log=True)
        dropout = trial.suggest_float("optim.dropout", 0.0, 0.5)
        steps = trial.suggest_int("smart.steps", 0, 3) if trial.suggest_categorical("smart.enabled", [True, False]) else 0
        for index in range(1, N_EVALUATIONS + 1):
            trial.report(curve(lr, dropout, steps, index), index)
            if index < N_EVALUATIONS and trial.should_prune():
                raise optuna.TrialPruned
        return curve(lr, dropout, steps, N_EVALUATIONS)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name="curves", direction="maximize", sampler=SAMPLERS[sampler](), pruner=PRUNERS[pruner](),
        )  # fmt: skip
    study.optimize(objective, n_trials=n_trials)
    return study


def run(study: Study) -> None:
    def metric(config: TrialConfig, index: int) -> float:
        steps = config.smart.steps if config.smart.enabled else 0
        return curve(config.optim.lr, config.optim.dropout, steps, index)

    while (asked := study.ask()) is not None:
        for index in range(1, N_EVALUATIONS + 1):
            metrics = {"sst/accuracy": metric(asked.config, index)}
            counts = (index, N_EVALUATIONS, index, N_EVALUATIONS, index)
            verdict = study.report(asked.number, Evaluation(*counts, metrics, {}, float(index)))
            if verdict is Verdict.PRUNE:
                break
        else:
            study.complete(asked.number)


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", slow_but(SAMPLERS, "tpe"))
def test_trials_states_and_values_are_those_of_plain_optuna(tmp_path: Path, sampler: str, pruner: str) -> None:
    """As many as the budget makes of them: more, the more of them are pruned."""
    (tmp_path / "curves.yaml").write_text(SPACE, encoding="utf-8")
    study = Study(
        "memory:", "curves", load(tmp_path / "curves.yaml"), Objective("sst/accuracy"),
        sampler, pruner, SEED, BUDGET, N_EVALUATIONS,
    )  # fmt: skip
    run(study)
    ours = study._study.trials
    plain = reference(sampler, pruner, len(ours))
    assert [trial.params for trial in ours] == [trial.params for trial in plain.trials]
    assert [trial.state for trial in ours] == [trial.state for trial in plain.trials]
    assert [trial.value for trial in ours] == [trial.value for trial in plain.trials]
    assert [trial.intermediate_values for trial in ours] == [trial.intermediate_values for trial in plain.trials]
    n_pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in plain.trials)
    assert (n_pruned > 0) == (pruner != "none"), "a comparison in which nothing is pruned says little"
    assert (len(ours) > BUDGET) == (pruner != "none")
