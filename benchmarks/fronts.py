"""What it costs two goals that `tpe` is shown a bounded number of trials: `python -m benchmarks.fronts --limits 600 150`.

The hypervolume of the front that a search of 64 slots hands over, over generated curves, as reported and above (0, 0), beside
the unbounded sampler's in the same world; and the processor time of the last tenth of the asks.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np
from optuna._hypervolume import compute_hypervolume

from benchmarks.driver import Timed
from benchmarks.policies import KINDS
from benchmarks.synthetic import Synthetic
from tuner.commands.simulate.clock import Charges, play
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import Study
from tuner.study.samplers import ranking

GOALS = "sst/accuracy,sts/pearson"
UNBOUNDED = sys.maxsize


def search(limit: int, n_trials: int, seed: int, pruner: str) -> tuple[float, float]:
    """Hypervolume × 100 and the median milliseconds of the last asks."""
    ranking.LIMIT = limit
    ranking.N_BEST, ranking.N_RUNNING = limit // 6, limit // 3
    kind, objective = KINDS["cluster"], Objective(GOALS)
    space, _ = load("smart_mtl", kind.profile).restrict(
        tasks=("sst", "quora", "sts", "cfimdb"), required=objective.required_tasks
    )
    study = Study("memory:", "fronts", space, objective, "tpe", pruner, seed, n_trials, 10)
    timed = Timed(study)
    play(timed, Synthetic(space, objective, seed, kind.flops_per_s), kind.n_slots, Charges())
    losses = -np.array([list(record.scores.values()) for record in study.front])
    last = sorted(1e3 * seconds for n, seconds in timed.asks if 0.9 * n_trials <= n < n_trials)
    return 100 * compute_hypervolume(losses, np.zeros(2)), last[len(last) // 2]


def main(argv: list[str] | None = None) -> int:
    text = argparse.ArgumentParser(prog="python -m benchmarks.fronts", description=__doc__)
    text.add_argument("--trials", type=int, default=1000)
    text.add_argument("--limits", type=int, nargs="+", default=[ranking.LIMIT])
    text.add_argument("--pruner", default="asha")
    text.add_argument("--repetitions", type=int, default=4)
    options = text.parse_args(argv)
    warnings.simplefilter("ignore")
    limits = [UNBOUNDED, *options.limits]
    found = {
        limit: [search(limit, options.trials, seed, options.pruner) for seed in range(options.repetitions)] for limit in limits
    }
    first = np.array(found[UNBOUNDED])
    for limit, measured in found.items():
        volumes, times = np.array(measured).T
        less = volumes - first[:, 0]
        error = less.std(ddof=1) / len(less) ** 0.5
        name = "unbounded" if limit == UNBOUNDED else f"limit {limit}"
        told = f"hypervolume {volumes.mean():.2f}, less unbounded {less.mean():+.2f} ± {error:.2f} (s.e.)"
        print(f"{name}: {told}, ask {np.median(times):.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
