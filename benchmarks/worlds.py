"""Compares generated worlds (synthetic.py) with recorded sweeps: `python -m benchmarks.worlds --curves DIR`.

Prints the same facts of both: how well the score at a fifth of a trial ranks it by its end, the share of random configurations
within 1 % of the best, the share that fails, the share that the untuned default beats, and what SMART adds on average.
Generated worlds have two rows for each profile, with the noise of their scores and without; a fact is the median over seeds,
above the 10th and 90th percentile. A recorded set has one row, and neither a default nor SMART.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.arguments import parser, positive, run
from benchmarks.costs import CPU_FLOPS, GPU_FLOPS
from benchmarks.synthetic import Synthetic
from model.config import TrialConfig, parse
from tuner.config.objective import Objective
from tuner.results.results_json import finite, write
from tuner.space import Space, load

TASKS = ("sst", "quora", "sts", "cfimdb")
PROFILES = {"laptop": CPU_FLOPS, "gpu": GPU_FLOPS}
CHANCE = {"deberta-mnli": 0.37, "deberta-v3-mnli": 0.37, "convnext-imagenet": 0.002, "alexnet-imagenet": 0.002}
"""End scores up to which a recorded trial has learnt nothing: a third on MultiNLI, a thousandth on ImageNet, and some noise."""
TRANSLATIONS, NO_TRANSLATION = "nmtlc-finetune", 0.5
"""The set of translations, with curves of several lengths, and the BLEU up to which a trial has learnt nothing."""
LEARNT = 0.05
"""A generated trial whose end is less than this above the floor has learnt nothing."""
N_LOOKS = 10
WITHIN = 0.01


@dataclass(frozen=True)
class Facts:
    """The compared facts of one world or recorded set; NaN where it has none."""

    rank_all: float
    """Spearman's correlation of the score at a fifth and the end, failed trials last."""
    rank_upper: float
    """The same in the upper half, by the end, of the trials that end with a number."""
    rank_learnt: float
    """The same in the upper half of the trials that end above chance."""
    near_best: float
    """Share of all trials whose end is within 1 % of the best end."""
    failed: float
    """Share of all trials that end without a number or at chance."""
    default: float = math.nan
    """Share of random trials whose end is below the untuned default's."""
    smart: float = math.nan
    """What SMART adds to the end, the mean over random configurations that use it."""


def facts(curves: np.ndarray, chance: float) -> Facts:
    """Facts of the curves of random configurations, (n_trials, 10); NaN after a failure."""
    early, end = curves[:, N_LOOKS // 5 - 1], curves[:, -1]
    finite_ends = np.isfinite(end) & np.isfinite(early)
    learnt = finite_ends & (end > chance)
    last = np.where(np.isfinite(end), end, -np.inf)
    return Facts(
        rank_correlation(np.where(np.isfinite(early), early, -np.inf), last),
        upper_half(early[finite_ends], end[finite_ends]),
        upper_half(early[learnt], end[learnt]),
        float((last >= (1 - WITHIN) * last.max()).mean()),
        float(1 - (last > chance).mean()),
    )


def upper_half(early: np.ndarray, end: np.ndarray) -> float:
    upper = end >= np.median(end)
    return rank_correlation(early[upper], end[upper])


def rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's, equal values sharing the mean of their ranks."""
    return float(np.corrcoef(ranks(left), ranks(right))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: np.ndarray = (ends - (counts - 1) / 2)[places]
    return found


def generated(world: Synthetic, configs: Sequence[TrialConfig], *, noisy: bool) -> Facts:
    """Facts of a generated world, of the scores as trials report them or without their noise."""
    curves = np.array([scores(world, config) if noisy else world.expected_scores(config) for config in configs])
    ends = np.array([world.true_score(config) for config in configs])
    default = world.true_score(world.space.config(world.space.start[0]))
    known = facts(curves, world.floor + LEARNT)
    return replace(known, default=float((ends < default).mean()), smart=smart_effect(world, configs))


def scores(world: Synthetic, config: TrialConfig) -> list[float]:
    return [world.objective.score(evaluation.metrics) for evaluation in world.course(config).evaluations]


def smart_effect(world: Synthetic, configs: Sequence[TrialConfig]) -> float:
    """Mean of the end with SMART less that without, over configurations that do not fail with either."""
    pairs = [(config, config.model_copy(update={"smart": config.smart.model_copy(update={"enabled": False})}))
             for config in configs if config.smart.enabled]  # fmt: skip
    ends = np.array([[world.true_score(on), world.true_score(off)] for on, off in pairs])
    learnt = (ends > world.floor + LEARNT).all(axis=1)
    return float((ends[learnt, 0] - ends[learnt, 1]).mean())


def random_configs(space: Space, n: int, seed: int) -> list[TrialConfig]:
    rng = random.Random(seed)
    return [parse(space.sample(rng)) for _ in range(n)]


def recorded(folder: Path) -> dict[str, Facts]:
    """Facts of every recorded set of the folder; the translations are one set for each language pair."""
    found = {name: facts(read_scores(folder / f"{name}.csv"), chance) for name, chance in CHANCE.items()}
    return found | {pair: facts(curves, NO_TRANSLATION) for pair, curves in read_translations(folder).items()}


def read_scores(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8", newline="") as rows:
        return np.array([[float(row[f"score{i}"] or "nan") for i in range(1, N_LOOKS + 1)] for row in csv.DictReader(rows)])


def read_translations(folder: Path) -> dict[str, np.ndarray]:
    """BLEU at tenths of the recorded checkpoints, by language pair."""
    found: dict[str, list[list[float]]] = {}
    with (folder / f"{TRANSLATIONS}.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            bleu = [float(score) for score in row["bleu_curve"].split()]
            looks = [bleu[max(math.ceil(len(bleu) * i / N_LOOKS), 1) - 1] for i in range(1, N_LOOKS + 1)]
            found.setdefault(f"nmtlc {row['dataset']}", []).append(looks)
    return {pair: np.array(curves) for pair, curves in found.items()}


def worlds(profile: str, n_seeds: int, n_configs: int) -> dict[str, list[Facts]]:
    """Facts of each seed's world, of the scores that trials report and without their noise."""
    whole = load("smart_mtl", profile)
    objective = Objective("mean", whole.targets)
    space, _ = whole.restrict(tasks=TASKS, required=objective.required_tasks)
    made = [
        (Synthetic(space, objective, seed, PROFILES[profile]), random_configs(space, n_configs, seed))
        for seed in range(n_seeds)
    ]
    return {
        name: [generated(world, configs, noisy=noisy) for world, configs in made]
        for name, noisy in ((f"{profile}, as reported", True), (f"{profile}, without noise", False))
    }


def cells(found: Sequence[Facts]) -> list[str]:
    """The median of each fact, over the 10th and 90th percentile of several worlds."""
    columns = np.array([astuple(item) for item in found]).T
    shown = []
    for column in columns:
        if np.isnan(column).all():
            shown.append("")
            continue
        middle, low, high = np.quantile(column, (0.5, 0.1, 0.9))
        shown.append(f"{middle:.3f}" if len(column) == 1 else f"{middle:.3f}\n{low:.3f} – {high:.3f}")
    return shown


def main(argv: list[str] | None = None) -> None:
    text: argparse.ArgumentParser = parser("worlds", __doc__ or "")
    text.add_argument("--curves", type=Path, help="folder of recorded sweeps, to compare with")
    text.add_argument("--seeds", type=positive, default=20, help="generated worlds of each profile (20)")
    text.add_argument("--configs", type=positive, default=300, help="random configurations in each world (300)")
    options = text.parse_args(argv)
    rows = {name: found for profile in PROFILES for name, found in worlds(profile, options.seeds, options.configs).items()}
    if options.curves:
        rows |= {name: [found] for name, found in recorded(options.curves).items()}
    shown = Table("curves", *(item.name.replace("_", " ") for item in fields(Facts)), box=None, pad_edge=False)
    for name, found in rows.items():
        shown.add_row(name, *cells(found))
    Console().print(shown)
    if options.json:
        write(options.json, finite({name: [asdict(item) for item in found] for name, found in rows.items()}))


if __name__ == "__main__":
    run(main)
