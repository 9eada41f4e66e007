"""Many simulated searches on recorded curves, in parallel processes, and the tables of their measures."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast

from rich.table import Table

from benchmarks import curve_policies, curves, variants
from benchmarks.equal_time import Estimate, Result, Setting, mean_difference, mean_share, measure, random_search
from tuner.commands.simulate.clock import World, play

Results: TypeAlias = Mapping[tuple[str, str], Sequence[Result]]
"""By policy and set; one for each seed."""
PROGRESS_S = 1.0
"""Between two updates of the line of progress."""


@dataclass(frozen=True)
class Job:
    """One search."""

    folder: Path
    curves: str
    policy: str
    setting: Setting
    seed: int
    has_reuse: bool = False
    """Whether a recorded trial can answer several proposals of the search."""


def search(job: Job) -> Result:
    """Simulate a search; the same job gives the same result in any process."""
    _prepare()
    world = _world(job.folder, job.curves)
    policy = curve_policies.parse(job.policy)
    decisions = policy.open(world, job.seed, job.setting.n_trials)
    answers = cast(World, curves.Answers(world, job.has_reuse))
    log = play(decisions, answers, job.setting.n_slots, policy.charges, job.setting.horizon_s)
    return measure(log, world, job.setting.horizon_s)


@lru_cache
def _prepare() -> None:
    """Once in each process."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    variants.register()


@lru_cache
def _world(folder: Path, name: str) -> curves.RecordedWorld:
    return curves.load(folder, name)


def search_all(jobs: Sequence[Job], n_processes: int) -> list[Result]:
    """All results in the order of the jobs, with a line of progress on stderr."""
    if n_processes == 1:
        return list(_with_progress((search(job) for job in jobs), len(jobs)))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
        futures = [pool.submit(search, job) for job in jobs]
        try:
            _await(futures)
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _with_progress(results: Iterator[Result], n: int) -> Iterator[Result]:
    began = updated = time.monotonic()
    for n_done, result in enumerate(results, start=1):
        if n_done == n or time.monotonic() > updated + PROGRESS_S:
            updated = time.monotonic()
            _tell(n_done, n, began)
        yield result


def _await(futures: Sequence[Future[Result]]) -> None:
    """Until all are done, or one has failed."""
    began, open_futures = time.monotonic(), set(futures)
    while open_futures:
        done, open_futures = wait(open_futures, timeout=PROGRESS_S, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        _tell(len(futures) - len(open_futures), len(futures), began)


def _tell(n_done: int, n: int, began: float) -> None:
    """Replace the line of progress on stderr."""
    seconds = round(time.monotonic() - began)
    end = "\n" if n_done == n else ""
    print(f"\r{n_done} of {n} searches, {seconds // 60}:{seconds % 60:02d}", end=end, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Comparison:
    """All searches of one setting."""

    setting: Setting
    results: Results
    random: Mapping[str, tuple[float, ...]]
    """The measures of random search, by set."""

    @property
    def policies(self) -> list[str]:
        return list(dict.fromkeys(policy for policy, _ in self.results))

    def shares(self, policy: str, measure: int) -> dict[str, list[float]]:
        """One measure as shares of random search's, by set."""
        return {
            name: [result.values[measure] / self.random[name][measure] for result in self.results[policy, name]]
            for name in self.random
        }


def compare(
    worlds: Sequence[curves.RecordedWorld],
    folder: Path,
    policies: Sequence[str],
    setting: Setting,
    seeds: Sequence[int],
    n_processes: int,
    has_reuse: bool = False,
) -> Comparison:
    """Simulate every policy on every set of `folder` with every seed."""
    random = {world.name: random_search(world, setting) for world in worlds}
    keys = [(policy, world.name) for policy in policies for world in worlds]
    jobs = [Job(folder, name, policy, setting, seed, has_reuse) for policy, name in keys for seed in seeds]
    found = search_all(jobs, n_processes)
    results = {key: found[place * len(seeds) : (place + 1) * len(seeds)] for place, key in enumerate(keys)}
    return Comparison(setting, results, random)


def share_table(comparison: Comparison) -> Table:
    """Shares of random search's measures, means over the sets with 95 % intervals; then the mean of each set at the end."""
    setting, n_seeds = comparison.setting, len(next(iter(comparison.results.values())))
    table = Table(
        title=f"{setting.n_trials} trials' worth of time on {setting.n_slots} slots, {n_seeds} searches of each set: shares of "
        "random search's (below 1 is better), with 95 % intervals",
        title_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    table.add_column("policy", no_wrap=True)
    for name in (*setting.measures, *(f"{name}\n{setting.measures[1]}" for name in comparison.random), "ended\npruned\nfailed"):
        table.add_column(name, justify="right", no_wrap=True)
    for policy in comparison.policies:
        shares = [comparison.shares(policy, index) for index in range(len(setting.measures))]
        at_end = [f"{sum(values) / len(values):.2f}" for values in shares[1].values()]
        table.add_row(policy, *(_with_bounds(mean_share(share)) for share in shares), *at_end, _counts(comparison, policy))
    return table


def difference_table(comparison: Comparison, reference: str) -> Table:
    """Differences of the shares to those of the reference, seed by seed."""
    table = Table(title=f"shares less those of {reference}, paired by seed", title_justify="left", box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for name in comparison.setting.measures:
        table.add_column(name, justify="right", no_wrap=True)
    for policy in comparison.policies:
        if policy != reference:
            table.add_row(policy, *(_with_bounds(one, "+.2f") for one in _differences(comparison, policy, reference)))
    return table


def _differences(comparison: Comparison, policy: str, reference: str) -> list[Estimate]:
    indices = range(len(comparison.setting.measures))
    return [mean_difference(comparison.shares(policy, index), comparison.shares(reference, index)) for index in indices]


def _counts(comparison: Comparison, policy: str) -> str:
    results = [one for (name, _), found in comparison.results.items() if name == policy for one in found]
    totals = (sum(getattr(one, name) for one in results) for name in ("n_complete", "n_pruned", "n_failed"))
    return "\n".join(f"{total / len(results):.0f}" for total in totals)


def _with_bounds(value: Estimate, form: str = ".2f") -> str:
    return f"{value.mean:{form}}\n[{value.low:{form}}, {value.high:{form}}]"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Every search in plain values."""
    return {
        "trials": comparison.setting.n_trials,
        "slots": comparison.setting.n_slots,
        "measures": comparison.setting.measures,
        "random": comparison.random,
        "policies": {
            policy: {name: [result.values for result in comparison.results[policy, name]] for name in comparison.random}
            for policy in comparison.policies
        },
    }


def write_json(path: Path, comparisons: Sequence[Comparison]) -> None:
    path.write_text(json.dumps([as_json(one) for one in comparisons]), encoding="utf-8")
