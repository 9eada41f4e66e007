"""The options of a search, as the command line, Python and a resumed run give them."""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.shape import PACK
from model.config import ConfigError
from model.engine.collective_error import TIMEOUT_S
from tuner.artifacts.addresses import expand, resolve_tracking_uri, without_password
from tuner.artifacts.atomic import write_whole

SAMPLER_NAMES = ("tpe", "random", "gp", "cmaes", "qmc", "nsga2", "grid")
"""What `--sampler` accepts: `tuner/study/samplers/` has a module of each name."""
PRUNER_NAMES = ("median", "percentile", "asha", "asha-promote", "hyperband", "wilcoxon", "none")
"""What `--pruner` accepts: `tuner/study/pruners/` has a module of each name, with `_` for `-`."""
FILE_NAME = "search.json"
"""Where a run keeps the options it was started with, for `--resume`."""
AFTER = ("finalists", "seeds")
BUDGET = ("trials", "max_trials", "time_budget", "gpu_hours", "cpu_hours", "target", "on_budget")
STORES = ("storage", "tracking_uri")
"""Addresses, of which a run's folder keeps no password: a resumed search may be given them again with it."""
RUNNING = (
    "resume", "register", "no_preflight", "no_dashboard", "price_per_gpu_hour", "quiet", "json", "dry_run", "debug", "address",
    "max_concurrent", "checkpoint_every", "collective_timeout",
)  # fmt: skip
FRESH_ON_RESUME = (*BUDGET, *AFTER, *RUNNING)
"""Options that a resumed search takes from its own command line, where given there."""

REMOVED = ("rung_resource",)
"""Options of earlier versions that a run may have been started with."""
LISTS = ("settings", "require", "warm_start")
"""Options that may be given several times."""


@dataclass(frozen=True)
class Options:
    """None means: the space's or the profile's own default, and where it has none the one in `plan.py`."""

    space: str = "smart_mtl"
    profile: str | None = None
    settings: tuple[str, ...] = ()
    """`NAME=VALUE` texts that fix settings of the space."""
    backbone: str | None = None
    data: str = "demo"
    tasks: str | None = None
    """Comma-separated; fewer tasks than the space names."""
    skip_bad_rows: bool = False
    metric: str | None = None
    require: tuple[str, ...] = ()
    """`METRIC>=NUMBER` and `METRIC<=NUMBER` texts that the champion must meet."""
    trials: int | None = None
    """Full trials whose compute the search may use: what pruning saves is spent on more trials."""
    max_trials: int | None = None
    """Trials at most, however early they end."""
    time_budget: str | None = None
    """Such as `2h30m`; a total over all sessions, as all budgets are."""
    gpu_hours: float | None = None
    cpu_hours: float | None = None
    target: float | None = None
    on_budget: str | None = None
    finalists: int | None = None
    """Best trials that are confirmed on fresh seeds, besides the untuned default; 0 for no confirmation."""
    seeds: int | None = None
    """Fresh seeds of each finalist."""
    warm_start: tuple[str, ...] = ()
    """Runs or MLflow experiments whose results the search starts from."""
    sampler: str | None = None
    pruner: str | None = None
    seed: int = 0
    workers_per_trial: int | None = None
    cpus_per_worker: int | None = None
    gpus_per_worker: float | None = None
    placement: str = PACK
    """Whether the ranks of a trial must lie on one node."""
    max_concurrent: int | None = None
    price_per_gpu_hour: float | None = None
    no_preflight: bool = False
    no_dashboard: bool = False
    """Start Ray on this machine without its dashboard."""
    checkpoint_every: float = 60.0
    """Seconds of a trial's work at stake that make its next evaluation a checkpoint."""
    collective_timeout: float = TIMEOUT_S
    """Seconds that the ranks of a trial may wait for one of them in a collective."""
    address: str | None = None
    name: str | None = None
    runs_dir: str = "runs"
    storage: str | None = None
    storage_path: str | None = None
    """Where checkpoints and models leave their node for: a folder that all nodes share, or a URL."""
    tracking_uri: str | None = None
    resume: str | None = None
    register: bool = True
    """Whether the champion is put into MLflow's registry."""
    dry_run: bool = False
    quiet: bool = False
    json: bool = False
    debug: bool = False


def parser() -> argparse.ArgumentParser:
    """The command line of `tuner.search`."""
    text = argparse.ArgumentParser(
        prog="python -m tuner.search",
        description="Search over multitask SMART fine-tunes of a BERT and hand over the best configuration, with proof.",
        argument_default=argparse.SUPPRESS,
    )
    what = text.add_argument_group("what to search")
    what.add_argument("--space", metavar="NAME|FILE", help="a space of search_spaces/, or your own YAML file (smart_mtl)")
    what.add_argument("--profile", help="laptop or gpu, or another of the space's (gpu where there is one, else laptop)")
    what.add_argument("--set", dest="settings", action="append", metavar="NAME=VALUE", help="fix a setting; repeatable")
    what.add_argument("--backbone", help="a folder, a hub name, or `embedded`")
    what.add_argument("--metric", help="mean, one such as sst/accuracy, or several parted by commas (the space's)")
    reach = "what the champion must reach (also <=), or no-negative-transfer[:MARGIN]; repeatable"
    what.add_argument("--require", action="append", metavar="METRIC>=X", help=reach)
    what.add_argument("--seed", type=int, help="seed of sampler and trials (0)")
    data = text.add_argument_group("data")
    data.add_argument("--data", metavar="DIR|hub|demo", help="a folder, `hub`, `hub=DIR`, or the generated `demo` (demo)")
    data.add_argument("--tasks", metavar="A,B", help="search over fewer tasks")
    data.add_argument("--skip-bad-rows", action="store_true", help="leave bad rows out and count them")
    how = text.add_argument_group("how long and how")
    how.add_argument("--trials", type=int, help="compute in full trials: what pruning saves goes into more trials (20)")
    how.add_argument("--max-trials", type=int, metavar="N", help="trials at most, however early they end (no limit)")
    how.add_argument("--time-budget", metavar="TIME", help="stop after 2h30m, 45m, 90s or so in total")
    how.add_argument("--gpu-hours", type=float, metavar="X", help="stop when the trials have held GPUs for X hours in total")
    how.add_argument("--cpu-hours", type=float, metavar="X", help="the same of CPUs")
    how.add_argument("--target", type=float, metavar="SCORE", help="stop when a complete trial has this score")
    how.add_argument("--on-budget", metavar="WHAT", help="finish what runs then, or cut it at its next evaluation (cut)")
    how.add_argument(
        "--finalists", type=int, metavar="K", help="best trials to train again on fresh seeds, 0 for none (3 or 2)"
    )
    how.add_argument("--seeds", type=int, metavar="S", help="fresh seeds of each finalist and of the untuned default (3 or 2)")
    how.add_argument("--sampler", help=f"one of {', '.join(SAMPLER_NAMES)} (tpe)")
    how.add_argument(
        "--warm-start", action="append", metavar="RUN|EXPERIMENT", help="start from an earlier run's results; repeatable"
    )
    how.add_argument("--pruner", help=f"one of {', '.join(PRUNER_NAMES)} (asha or median)")
    where = text.add_argument_group("where")
    where.add_argument("--workers-per-trial", type=int, metavar="N", help="DeepSpeed ranks of a trial (1)")
    where.add_argument("--cpus-per-worker", type=int, metavar="N", help="cores of a rank (1)")
    where.add_argument("--gpus-per-worker", type=float, metavar="X", help="GPUs of a rank; fractions share one")
    where.add_argument("--placement", metavar="WHERE", help="pack a trial on one node, or spread it over several (pack)")
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (as many as fit)")
    where.add_argument(
        "--price-per-gpu-hour", type=float, metavar="X", help="what an hour of a GPU costs; the plan tells the sum"
    )
    where.add_argument("--address", help="a running Ray cluster (this machine alone)")
    where.add_argument("--name", help="name of the run (space and time)")
    where.add_argument("--runs-dir", metavar="DIR", help="folder of the runs (runs)")
    where.add_argument(
        "--storage", metavar="URL", help="Optuna storage: journal:FILE, sqlite:///…, postgresql://… (run folder)"
    )
    where.add_argument(
        "--storage-path", metavar="PATH|URL", help="checkpoints: a folder that all nodes share, or s3://… (run folder)"
    )
    where.add_argument("--tracking-uri", metavar="URI", help="MLflow store or server (SQLite in the run folder)")
    run = text.add_argument_group("running")
    run.add_argument("--resume", metavar="NAME", help="go on with an interrupted run, or add trials to a finished one")
    run.add_argument(
        "--checkpoint-every", type=float, metavar="S", help="seconds of work after which an evaluation makes a checkpoint (60)"
    )
    run.add_argument(
        "--collective-timeout", type=float, metavar="S", help="seconds that ranks wait in a collective for one that hangs (600)"
    )
    run.add_argument(
        "--no-register", dest="register", action="store_false", help="do not put the champion into MLflow's registry"
    )
    run.add_argument("--no-preflight", action="store_true", help="measure nothing before the first trial, and give no ETA")
    run.add_argument("--no-dashboard", action="store_true", help="start Ray without its dashboard, which takes some seconds")
    run.add_argument("--dry-run", action="store_true", help="print the plan and what it costs, measured, and leave nothing")
    run.add_argument("--quiet", action="store_true", help="print the result alone")
    run.add_argument("--json", action="store_true", help="print events as JSON lines")
    run.add_argument("--debug", action="store_true", help="show tracebacks")
    return text


def parse_arguments(argv: list[str] | None, own: argparse.ArgumentParser | None = None) -> Options:
    """Options of a command line. Raises `ConfigError`. `own` is the parser of another command that takes the same options."""
    given = vars((own or parser()).parse_args(argv))
    return from_given({name: tuple(value) if name in LISTS else value for name, value in given.items()})


def from_given(given: dict[str, Any]) -> Options:
    """Options of those that were given. A resumed run's own options come from its folder. Raises `ConfigError`."""
    if "resume" not in given:
        return Options(**given)
    folder = Path(given.get("runs_dir", Options.runs_dir)) / given["resume"]
    fixed = [name for name in given if name not in (*FRESH_ON_RESUME, *STORES, "runs_dir")]
    if not fixed:
        kept = load(folder)
        fixed = [name for name in STORES if name in given and without_password(given[name]) != getattr(kept, name)]
    if fixed:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise ConfigError([f"--resume goes on with the options of the run; leave out {flags}, or start a new run"])
    return dataclasses.replace(kept, runs_dir=str(folder.parent), **{k: v for k, v in given.items() if k != "runs_dir"})


def save(options: Options, folder: Path) -> None:
    """Keep the options in a run's folder, without the passwords of its stores."""
    addresses = {name: address and without_password(address) for name, address in stores(options).items()}
    text = json.dumps(dataclasses.asdict(options) | addresses, indent=2)
    write_whole(folder / FILE_NAME, text + "\n")


def load(folder: Path) -> Options:
    """Options of the run in `folder`, with the run's name. Raises `ConfigError` when there is none."""
    try:
        values: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        runs = sorted(path.parent.name for path in folder.parent.glob(f"*/{FILE_NAME}"))
        there = f"the runs there are {', '.join(runs)}" if runs else "there are no runs there"
        raise ConfigError([f"there is no run {folder.name} in {folder.parent}; {there}"]) from None
    once = {"register", "dry_run", "quiet", "json", "debug", "resume"}
    kept = {name: value for name, value in values.items() if name not in once and name not in REMOVED}
    lists = {name: tuple(kept.get(name, ())) for name in LISTS}
    return Options(**{**kept, **lists, "name": folder.name})


def stores(options: Options) -> dict[str, str | None]:
    """The addresses of stores as they were given."""
    return {name: getattr(options, name) for name in STORES}


def not_kept(options: Options) -> list[str]:
    """A sentence for each address whose password is in clear, and so not in the run's folder."""
    return [
        f"the password in --{name.replace('_', '-')} is not kept; --resume, status and check look for it in "
        f"{ENVIRONMENT.get(address.partition(':')[0].partition('+')[0], 'the address')}, or write it as $NAME in single quotes"
        for name, address in stores(options).items()
        if address is not None and without_password(address) != address
    ]


ENVIRONMENT = {
    "postgresql": "$PGPASSWORD",
    "http": "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD",
    "https": "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD",
}
"""Where the libraries look for a password that an address lacks, by its scheme."""


def storage_of(options: Options, run_dir: Path) -> str:
    """Optuna's storage: the one that was asked for, else a journal in the run's folder. Raises `ConfigError`."""
    return expand(options.storage) if options.storage else f"journal:{run_dir / 'study.journal'}"


def tracking_uri_of(options: Options, run_dir: Path) -> str:
    """MLflow's store: the one that was asked for, else SQLite in the run's folder. Raises `ConfigError`."""
    return resolve_tracking_uri(options.tracking_uri and expand(options.tracking_uri), run_dir)
