"""What the driver's work costs as a study grows: `python -m benchmarks.driver --trials 10000 --slots 1000`.

Drives the study through the simulator's clock, on generated curves, and prints the processor time of asks and reports by the
number of trials that the study had. `--plain` puts Optuna's own sampler in place of the project's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from rich.console import Console
from rich.table import Table

from benchmarks.policies import KINDS
from benchmarks.synthetic import Synthetic
from model.training.evaluation import Evaluation
from tuner.commands.simulate.clock import Charges, play
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import SAMPLERS, Study, Suggestion, Verdict
from tuner.study.samplers.base import Sampler, SamplerSettings


class Timed:
    """A study with a stop-watch: processor time, or what another clock tells."""

    def __init__(self, study: Study, clock: Callable[[], float] = time.process_time) -> None:
        self._study, self._clock = study, clock
        self.n_asked = 0
        self.asks: list[tuple[int, float]] = []
        """(trials so far, seconds)."""
        self.reports: list[tuple[int, float]] = []

    def ask(self) -> Suggestion | None:
        began = self._clock()
        asked = self._study.ask()
        self.asks.append((self.n_asked, self._clock() - began))
        self.n_asked += asked is not None
        return asked

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        began = self._clock()
        verdict = self._study.report(number, evaluation)
        self.reports.append((self.n_asked, self._clock() - began))
        return verdict

    def release(self, number: int) -> None:
        self._study.release(number)

    def complete(self, number: int) -> None:
        self._study.complete(number)


def use_plain_optuna() -> None:
    warnings.simplefilter("ignore", ExperimentalWarning)

    def make(settings: SamplerSettings) -> TPESampler:
        options = {"seed": settings.fresh_seed, "n_startup_trials": settings.n_startup}
        return TPESampler(**options, multivariate=True, group=True, constant_liar=True)

    SAMPLERS["tpe"] = Sampler("Optuna's own TPE", make, has_model=True)


def measure(
    sampler: str,
    pruner: str,
    n_trials: int,
    n_slots: int,
    storage: str,
    clock: Callable[[], float] = time.process_time,
) -> tuple[Timed, float]:
    """The stop-watch, and the seconds of the whole search by the same clock."""
    kind = KINDS["cluster"]
    whole = load("smart_mtl", kind.profile)
    objective = Objective("mean", whole.targets)
    space, _ = whole.restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=objective.required_tasks)
    timed = Timed(Study(storage, "driver", space, objective, sampler, pruner, 0, n_trials, 10), clock)
    began = clock()
    play(timed, Synthetic(space, objective, 0, kind.flops_per_s), n_slots, Charges())
    return timed, clock() - began


def table(timed: Timed, n_trials: int, n_rows: int = 8) -> Table:
    """Median and worst milliseconds by the size of the study."""
    shown = Table(box=None, pad_edge=False)
    for name in ("trials", "asks", "median", "worst ms", "reports", "median", "worst ms"):
        shown.add_column(name, justify="right")
    width = max(1, n_trials // n_rows)
    for low in range(0, n_trials, width):
        cells = [f"{low}–{min(low + width, n_trials)}"]
        for measured in (timed.asks, timed.reports):
            found = sorted(1e3 * seconds for n, seconds in measured if low <= n - (measured is timed.reports) < low + width)
            cells += [str(len(found)), *([f"{found[len(found) // 2]:.2f}", f"{found[-1]:.1f}"] if found else ["-", "-"])]
        shown.add_row(*cells)
    return shown


def main(argv: list[str] | None = None) -> int:
    text = argparse.ArgumentParser(prog="python -m benchmarks.driver", description=__doc__)
    text.add_argument("--trials", type=int, default=10_000)
    text.add_argument("--slots", type=int, default=1000)
    text.add_argument("--sampler", default="tpe")
    text.add_argument("--pruner", default="median")
    text.add_argument("--storage", choices=("memory", "journal"), default="memory")
    text.add_argument("--plain", action="store_true", help="Optuna's own sampler")
    options = text.parse_args(argv)
    if options.plain:
        use_plain_optuna()
    with tempfile.TemporaryDirectory() as folder:
        storage = "memory:" if options.storage == "memory" else f"journal:{Path(folder) / 'study.journal'}"
        timed, seconds = measure(options.sampler, options.pruner, options.trials, options.slots, storage)
    kind = "plain Optuna" if options.plain else "the project's"
    print(f"{options.sampler}+{options.pruner}, {kind}, {options.slots} slots, storage in {options.storage}: {seconds:.0f} s")
    Console().print(table(timed, options.trials))
    return 0


if __name__ == "__main__":
    sys.exit(main())
