"""Runs the preflight: measures once, caches the measurements, prints a forecast, and compares it with the time at the end."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError, RayTaskError

from cluster import connect
from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig
from model.data.file_contents import read_json
from model.data.source import DataSummary
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.write_queue import write_stderr
from tuner.config.budget import Meter
from tuner.execution.gang import RankError, reason_of
from tuner.results import environment
from tuner.search.cache_key import TRAINING_LIBRARIES, digest, versions_of, weights_of
from tuner.search.context import Context
from tuner.search.controls import FOLDER as CONTROLS
from tuner.search.controls import Cache, Control
from tuner.search.preflight import estimate, probe
from tuner.search.preflight.forecast import Forecast, Measured, describe, error_of, evaluation_s, forecast, outcome, trial_s

OWN = "preflight.json"
"""In the run's folder."""
FOLDER = ".preflight"
"""Beside the runs: measurements by a hash of everything that they depend on."""
VERSION = 2
SHARE, LEAST_S = 0.05, 2.0
"""Largest share of a search's time for measuring, and the least useful time in seconds."""


@dataclass(frozen=True)
class Workload:
    """The trainings of a search."""

    samples: tuple[TrialConfig, ...]
    """Random configurations of the space."""
    summary: DataSummary
    shape: GangShape
    n_trials: int
    """Full trials' compute, earlier sessions included."""
    controls: tuple[Control, ...]
    n_confirming: int
    """Trainings of the confirmation, at most."""
    time_s: float | None
    """The time budget."""
    price_per_gpu_hour: float | None


def measure(
    work: Workload, run_dir: Path, data: Any, goes_on: Callable[[], bool], *, at_once: int, keep: bool
) -> Measured | str:
    """Measurements for `at_once` trials on this cluster, from the cache or made now; a text with the reason where that failed.

    With `keep` they are written into the run's folder and the cache. Raises `ConfigError` when the largest configuration does
    not fit the memory, and KeyboardInterrupt when `goes_on()` is false.
    """
    assignment = probe.Assignment(
        estimate.largest(work.samples, work.shape.n_workers),
        tuple(estimate.along_the_cost(work.samples, work.summary)),
        bound_s(work),
        min(at_once, probe.MOST_AT_ONCE),
    )
    own, shared = run_dir / OWN, run_dir.parent / FOLDER / f"{key(work, assignment)}.json"
    try:
        measured = read(own) or read(shared) or probe.in_gangs(work.shape, data, assignment, goes_on)
    except (RayError, RankError, TimeoutError) as error:
        cause = getattr(error, "cause", None) or error
        if isinstance(error, RayTaskError) and isinstance(cause, probe.CannotFitError):
            raise ConfigError([_too_large(assignment.largest, str(cause))]) from None
        return reason_of(cause)
    if keep:
        text = json.dumps(asdict(measured), indent=2) + "\n"
        with suppress(OSError):  # a later session measures again
            shared.parent.mkdir(parents=True, exist_ok=True)
            for path in (own, shared):
                write_whole(path, text)
    return measured


def bound_s(work: Workload) -> float:
    """Seconds to measure: a share of the search's estimated time where there is an estimate; a minute at most."""
    n_parameters = estimate.layer_parameters(work.samples[0].backbone)
    if n_parameters is None or work.shape.gpus_per_worker:
        return probe.BOUND_S
    typical = statistics.fmean(estimate.flops(sample, work.summary, n_parameters) for sample in work.samples)
    search_s = work.n_trials * typical / (estimate.matmul_rate() * max(estimate.EFFICIENCY))
    return min(max(SHARE * search_s, LEAST_S), probe.BOUND_S)


def _too_large(config: TrialConfig, reason: str) -> str:
    given = f"optim.batch_size {config.optim.batch_size}, max_length {config.max_length}, pair_encoding {config.pair_encoding}"
    smart = f", smart.variant {config.smart.variant}, smart.mu {config.smart.mu:g}" if config.smart.enabled else ""
    return (
        f"the largest configuration of the space ({given}, mixture {', '.join(config.mixture)}{smart}) does not fit a "
        f"rank's memory even with a micro-batch of 1 ({reason}): lower max_length, or take a smaller --backbone"
    )


def read(path: Path) -> Measured | None:
    """Measurements of an earlier preflight; None where the file is missing or damaged."""
    try:
        return read_json(path, Measured)
    except (FileNotFoundError, ConfigError):
        return None


def key(work: Workload, assignment: probe.Assignment) -> str:
    """A hash of everything that the measurements depend on."""
    machine = environment.hardware()
    return digest(
        {
            "version": VERSION,
            "configs": [config.to_dict() for config in (assignment.largest, *assignment.others)],
            "data": work.summary.sha256,
            "backbone": weights_of(assignment.largest.backbone),
            "shape": asdict(work.shape),
            "at_once": assignment.at_once,
            "libraries": versions_of(TRAINING_LIBRARIES),
            "machine": {name: machine[name] for name in ("cpu", "cpus", "gpus")},
            "nodes": sorted((node.cpus, node.gpus) for node in connect.nodes()),
        }
    )


def run(context: Context, work: Workload, used: float) -> Watch | None:
    """Measure a few configurations and print the forecast; returns a watch for its error, or None without a forecast.

    `used` is the compute of earlier sessions in full trials.
    """
    runner, n_trials, meter = context.runner, work.n_trials - used, context.spending.meter
    if n_trials <= 0:
        return None
    goes_on, used_s = (lambda: not runner.interruption.requested), meter.used.wall_s
    foreseen = look_ahead(work, context.run_dir, runner.data, runner.slots(), n_trials, goes_on, write_stderr, used_s=used_s)
    return Watch(*foreseen, meter) if foreseen else None


def look_ahead(
    work: Workload,
    run_dir: Path,
    data: Any,
    slots: int,
    n_trials: float,
    goes_on: Callable[[], bool],
    tell: Callable[[str], None],
    *,
    used_s: float = 0.0,
    keep: bool = True,
) -> tuple[Measured, Forecast] | None:
    """Measure and forecast `n_trials` full trials, and `tell` the lines of it; None where nothing was measured.

    `used_s` is the used part of the time budget. The rest is as for `measure`.
    """
    at_once = max(1, min(slots, math.ceil(n_trials)))
    measured = measure(work, run_dir, data, goes_on, at_once=at_once, keep=keep)
    if isinstance(measured, str):
        tell(f"preflight: no estimate ({measured})")
        return None
    foreseen = foresee(work, run_dir, measured, at_once, n_trials, used_s)
    for line in lines_of(work, measured, foreseen):
        tell(line)
    return measured, foreseen


def foresee(work: Workload, run_dir: Path, measured: Measured, at_once: int, n_trials: float, used_s: float) -> Forecast:
    """Forecast `n_trials` full trials, `at_once` at a time, the confirmation, and the controls that are not in the cache."""
    cache = Cache(run_dir.parent / CONTROLS)
    uncached = [control.config for control in work.controls if cache.get(control) is None]
    trials_s = [trial_s(sample, work.summary, measured) for sample in work.samples]
    confirming_s = work.n_confirming * statistics.fmean(trials_s)
    return forecast(
        trials_s,
        n_trials,
        at_once,
        work.shape,
        measured.start_s,
        besides_s=sum(trial_s(config, work.summary, measured) for config in uncached) + confirming_s,
        limit_s=None if work.time_s is None else max(work.time_s - used_s, 0.0),
        price_per_gpu_hour=work.price_per_gpu_hour,
    )


def lines_of(work: Workload, measured: Measured, foreseen: Forecast) -> list[str]:
    """The forecast as lines to print."""
    trials_s = [trial_s(sample, work.summary, measured) for sample in work.samples]
    typical = statistics.median(trials_s)
    evaluating_s = sum(evaluation_s(sample, work.summary, measured) for sample in work.samples)
    n, many = len(measured.timed), "s" * (len(measured.timed) != 1)
    rest = f", {measured.left_out} more left out for lack of time" if measured.left_out else ""
    crowd = measured.crowd
    beside = f"; {crowd.at_once} trials at once take {crowd.slowdown:.2f} times as long as one alone" if crowd else ""
    lines = [
        f"preflight: {n} configuration{many} measured in {measured.took_s:.0f} s{rest}; a typical trial takes {typical:.0f} s, "
        f"{100 * evaluating_s / sum(trials_s):.0f} % of it evaluation{beside}",
        *describe(foreseen),
        "the range: 90 % of draws of as many full trials; what pruning saves is spent on more trials",
    ]
    return [*lines, *([f"note: {measured.note}"] if measured.note else [])]


class Watch:
    """Measures what this session takes, from now on, for the comparison with the forecast."""

    def __init__(self, measured: Measured, foreseen: Forecast, meter: Meter) -> None:
        self._measured, self._foreseen, self._meter = measured, foreseen, meter
        self._began, self._held_before_s = time.monotonic(), meter.used.gang_s

    def stop(self) -> None:
        """Note the end of the last training."""
        self._took_s = time.monotonic() - self._began
        self._held_s = self._meter.used.gang_s - self._held_before_s

    def results(self, shape: GangShape, price_per_gpu_hour: float | None, *, whole: bool) -> dict[str, Any]:
        """`preflight` of results.json. `whole` is false for a search that was stopped early, whose time has no error."""
        foreseen, hours = self._foreseen, self._held_s * shape.n_workers * shape.gpus_per_worker / 3600
        cost = f", cost {hours * price_per_gpu_hour:.2f}" if price_per_gpu_hour is not None else ""
        spent = [f"{line}; used {hours:.2g} GPU-hours{cost}" for line in describe(foreseen)[1:]]
        return {
            "measured": asdict(self._measured),
            "eta_s": asdict(foreseen.seconds),
            "took_s": self._took_s,
            "error": error_of(foreseen, self._took_s) if whole else None,
            "gpu_hours": foreseen.gpu_hours and asdict(foreseen.gpu_hours) | {"used": hours},
            "price": foreseen.price and asdict(foreseen.price) | {"used": hours * (price_per_gpu_hour or 0.0)},
            "said": [outcome(foreseen, self._took_s) if whole else describe(foreseen)[0], *spent],
        }
