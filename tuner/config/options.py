"""The options of a search: one table for the command line, Python's keywords, a resumed run and the reference.

A field of `Options` is an option: its type, its default, and how it is shown. Adding one is adding a field.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from cluster.shape import PACK
from model.config import ConfigError
from model.data.file_contents import checked, read_json
from model.engine.config import TIMEOUT_S
from model.section import shown
from tuner.artifacts.addresses import absolute, expand, file_of, resolve_tracking_uri, without_password
from tuner.artifacts.atomic import write_whole

SAMPLER_NAMES = ("tpe", "random", "gp", "cmaes", "qmc", "nsga2", "grid")
"""What `--sampler` accepts: `tuner/study/samplers/` has a module of each name."""
PRUNER_NAMES = ("median", "percentile", "asha", "asha-promote", "hyperband", "wilcoxon", "none")
"""What `--pruner` accepts: `tuner/study/pruners/` has a module of each name, with `_` for `-`."""
FILE_NAME = "search.json"
"""The options of a run, in its folder, for `--resume`."""
STORES = ("storage", "tracking_uri")
"""Addresses that are written without their passwords: `--resume` accepts them again, with the password."""
RUN_FOLDER = "{run}"
"""Stands for the run's folder in the addresses of files inside it, so that they move with the folder."""
REMOVED = ("rung_resource", "cpu_hours", "on_budget")
"""Options of earlier versions, which old runs may have."""
WHAT, HOW_LONG, ON_WHAT, KEPT, SHOWN = "what to search", "how long", "on what", "where it is kept", "what is shown"
FRESH = (HOW_LONG, SHOWN)
"""Groups of options that `--resume` takes from its own command line."""


@dataclass(frozen=True)
class Option:
    """The rules and the help text of an option; its name, type and default are those of its field in `Options`."""

    group: str
    help: str
    metavar: str | None = None
    flag: str = ""
    """On the command line; empty for the name with dashes."""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    """Exclusive lower bound."""
    unit: str = ""
    """Unit of a number, such as `seconds`."""
    fresh: bool = False
    """Whether `--resume` takes it from its own command line, as all of `FRESH`; else it is the run's."""


def option(default: Any, group: str, help: str, metavar: str | None = None, **rules: Any) -> Any:
    """A field of `Options` with the `rules` of `Option`. A default is appended to the help text, unless that ends with one."""
    if default is not None and not isinstance(default, bool | tuple) and not help.endswith(")"):
        help += f" ({default:g})" if isinstance(default, int | float) else f" ({default})"
    return field(default=default, metadata={"option": Option(group, help, metavar, **{"fresh": group in FRESH, **rules})})


@dataclass(frozen=True)
class Options:
    """All options of a search.

    None means the value of the space or its profile, else the default in brackets.
    """

    space: str = option("smart_mtl", WHAT, "a space of search_spaces/, or your own YAML file", "NAME|FILE")
    profile: str | None = option(
        None, WHAT, "a profile of the space, such as laptop or gpu (gpu where there is a GPU, else laptop)"
    )
    settings: tuple[str, ...] = option((), WHAT, "fix a setting, searched or not; repeatable", "NAME=VALUE", flag="--set")
    backbone: str | None = option(None, WHAT, "a folder, a hub name, or `embedded`; safetensors only (embedded)")
    metric: str | None = option(None, WHAT, "mean, one such as sst/accuracy, or several parted by commas (the space's)")
    """`mean` is taken over the space's targets, `own_mean` over a trial's own tasks. Several are searched for their front."""
    require: tuple[str, ...] = option(
        (), WHAT, "what the champion must reach (also <=), or no-negative-transfer[:MARGIN]; repeatable", "METRIC>=X"
    )
    sampler: str | None = option(None, WHAT, f"one of {', '.join(SAMPLER_NAMES)} (tpe)")
    pruner: str | None = option(None, WHAT, f"one of {', '.join(PRUNER_NAMES)} (asha or median)")
    """The default is `asha` where early evaluations see 1,000 examples of a task or all of select, else `median`; the plan says
    which."""
    warm_start: tuple[str, ...] = option(
        (), WHAT, "start from the results of an earlier run, or of an MLflow experiment; repeatable", "RUN|EXPERIMENT"
    )
    seed: int = option(0, WHAT, "seed of sampler and trials", least=0, most=2**31 - 1)
    trials: int | None = option(
        None, HOW_LONG, "compute in full trials: what pruning saves goes into more trials (20)", "N", least=1
    )
    """A trial that ends after 3 of its 10 evaluations uses 0.3. Earlier sessions of a run count. A configuration that was
    trained already is not trained again and does not count."""
    max_trials: int | None = option(None, HOW_LONG, "trials at most, however early they end (no limit)", "N", least=1)
    time_budget: str | None = option(None, HOW_LONG, "stop after 2h30m, 45m, 90s or plain seconds, over all sessions", "TIME")
    """Running trials are cut at their next evaluation, as at the end of every budget."""
    gpu_hours: float | None = option(None, HOW_LONG, "stop when the trials have held GPUs for X hours in total", "X", above=0)
    target: float | None = option(
        None, HOW_LONG, "stop when a complete trial has this score (one metric)", "SCORE", least=-1, most=1
    )
    finalists: int | None = option(
        None, HOW_LONG, "best trials to train again on fresh seeds, 0 for none (3 with GPUs, else 2)", "K", least=0
    )
    seeds: int | None = option(
        None, HOW_LONG, "fresh seeds of each finalist and of the untuned default (3 with GPUs, else 2)", "S", least=1
    )
    data: str = option("demo", ON_WHAT, "a folder, `hub`, `hub=DIR` (a mirror), or the generated `demo`", "DIR|hub|demo")
    tasks: str | None = option(None, ON_WHAT, "search over fewer tasks (the space's)", "A,B")
    skip_bad_rows: bool = option(False, ON_WHAT, "leave bad rows out and count them")
    """Without it bad rows are named, and nothing starts."""
    address: str | None = option(None, ON_WHAT, "a running Ray cluster (this machine alone)", fresh=True)
    workers_per_trial: int | None = option(None, ON_WHAT, "DeepSpeed ranks of a trial (1)", "N", least=1)
    cpus_per_worker: int | None = option(None, ON_WHAT, "cores of a rank (1)", "N", least=1)
    gpus_per_worker: float | None = option(None, ON_WHAT, "GPUs of a rank; fractions share one (0 or 1)", "X")
    placement: str = option(PACK, ON_WHAT, "pack a trial on one node, or spread it over several", "WHERE")
    """`spread` needs `--storage-path`."""
    max_concurrent: int | None = option(None, ON_WHAT, "trials at once (as many as fit)", "N", least=1, fresh=True)
    price_per_gpu_hour: float | None = option(
        None, ON_WHAT, "what an hour of a GPU costs; plan, summary and results name the sum", "X", least=0, fresh=True
    )
    collective_timeout: float = option(
        TIMEOUT_S,
        ON_WHAT,
        "seconds that ranks wait in a collective for one that hangs",
        "S",
        above=0,
        unit="seconds",
        fresh=True,
    )
    """Then the ranks are killed, and the trial goes on from its last checkpoint."""
    name: str | None = option(None, KEPT, "name of the run (space and time)")
    runs_dir: str = option("runs", KEPT, "folder of the runs", "DIR")
    resume: str | None = option(
        None, KEPT, "go on with an interrupted run, or add trials to a finished one", "NAME", fresh=True
    )
    """Unfinished trials go on from their last checkpoint. A finished run needs a larger `--trials`."""
    storage: str | None = option(
        None, KEPT, "Optuna storage: journal:FILE, sqlite:///…, postgresql://… (a journal in the run's folder)", "URL"
    )
    """PostgreSQL needs `pip install 'smart-tuner[postgres]'`."""
    storage_path: str | None = option(
        None, KEPT, "checkpoints and models: a folder that all nodes share, or s3://… (the run's folder)", "PATH|URL"
    )
    """Any URL of Arrow's or fsspec's."""
    tracking_uri: str | None = option(None, KEPT, "MLflow store or server (SQLite in the run's folder)", "URI")
    checkpoint_every: float = option(
        60.0, KEPT, "seconds of work after which an evaluation makes a checkpoint", "S", least=0, unit="seconds", fresh=True
    )
    register: bool = option(
        True, KEPT, "do not register the champion in MLflow's model registry", flag="--no-register", fresh=True
    )
    no_preflight: bool = option(False, SHOWN, "measure nothing before the first trial, and give no ETA")
    no_dashboard: bool = option(False, SHOWN, "start Ray without its dashboard, which takes some seconds")
    """A cluster that runs already keeps its own."""
    dry_run: bool = option(False, SHOWN, "print the plan and what it costs, measured, and leave nothing")
    """With `--no-preflight` nothing is started."""
    quiet: bool = option(False, SHOWN, "print the result alone")
    json: bool = option(False, SHOWN, "print events as JSON lines")
    """Without `--quiet` and `--json` a terminal gets a live table (`NO_COLOR` is respected), a pipe plain lines."""
    debug: bool = option(False, SHOWN, "show tracebacks")


@cache
def table() -> Mapping[str, Option]:
    """Every option by the name of its field, with its flag."""
    options = {one.name: one.metadata["option"] for one in dataclasses.fields(Options)}
    return {name: dataclasses.replace(one, flag=one.flag or flag_of(name)) for name, one in options.items()}


def flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def parser() -> argparse.ArgumentParser:
    """The command line of a search."""
    text = argparse.ArgumentParser(
        prog="python -m tuner.search",
        description="Search over multitask SMART fine-tunes of a BERT and hand over the best configuration, with proof.",
        argument_default=argparse.SUPPRESS,
    )
    groups = {group: text.add_argument_group(group) for group in (WHAT, HOW_LONG, ON_WHAT, KEPT, SHOWN)}
    hints = get_type_hints(Options)
    for name, one in table().items():
        kind = str(hints[name])
        given: dict[str, Any] = {"dest": name, "help": one.help}
        if hints[name] is bool:
            given["action"] = "store_false" if getattr(Options, name) else "store_true"
        else:
            given["metavar"] = one.metavar
            if "tuple" in kind:
                given["action"] = "append"
            elif "str" not in kind:
                given["type"] = float if "float" in kind else int
        groups[one.group].add_argument(one.flag, **given)
    return text


def problems_of(options: Options) -> list[str]:
    """A sentence for each name that is not UTF-8, each number out of its bounds, and options that exclude each other."""
    sentences = []
    for name, one in table().items():
        value = getattr(options, name)
        texts: tuple[str, ...] = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()
        sentences += [
            f"{one.flag} {shown(text)} is not UTF-8, in which Ray passes names on; rename it"
            for text in texts
            if text.encode("utf-8", "replace") != text.encode("utf-8", "surrogatepass")
        ]
        if value is None or isinstance(value, str) or (one.least, one.most, one.above) == (None, None, None):
            continue
        least = -math.inf if one.least is None else one.least
        if not (least <= value <= (one.most or math.inf) and (one.above is None or one.above < value < math.inf)):
            sentences.append(f"{one.flag} {value:g}: give {one.unit + ', ' if one.unit else ''}{_allowed(one)}")
        elif value == math.inf:
            sentences.append(f"{one.flag} {value:g}: give a finite number")
    if options.quiet and options.json:
        sentences.append("--quiet and --json exclude each other: leave one out")
    return sentences


def _allowed(one: Option) -> str:
    if one.most is not None:
        return f"a number from {one.least:.10g} to {one.most:.10g}"
    return f"more than {one.above:g}" if one.above is not None else f"{one.least:g} or more"


def is_list(name: str) -> bool:
    """Whether an option may be given several times."""
    return isinstance(getattr(Options, name), tuple)


def parse_arguments(argv: list[str] | None) -> Options:
    """Options of a command line. Raises `ConfigError`."""
    return from_arguments(parser().parse_args(argv))


def from_arguments(arguments: argparse.Namespace) -> Options:
    """Options of parsed arguments. Raises `ConfigError`."""
    given = vars(arguments)
    return from_given({name: tuple(value) if is_list(name) else value for name, value in given.items()})


def from_given(given: dict[str, Any]) -> Options:
    """Options from the given ones, and with `--resume` from the run's folder. Raises `ConfigError`."""
    if "resume" not in given:
        return Options(**given)
    folder = Path(given.get("runs_dir", Options.runs_dir)) / given["resume"]
    fixed = [name for name in given if not (table()[name].fresh or name in (*STORES, "runs_dir"))]
    if not fixed:
        kept = load(folder)
        _warn_of_removed(folder)
        fixed = [name for name in STORES if name in given and not _is_same(given[name], getattr(kept, name))]
    if fixed:
        flags = ", ".join(table()[name].flag for name in fixed)
        raise ConfigError([f"--resume goes on with the options of the run; leave out {flags}, or start a new run"])
    return dataclasses.replace(kept, runs_dir=str(folder.parent), **{k: v for k, v in given.items() if k != "runs_dir"})


def _is_same(given: str, kept: str | None) -> bool:
    """Whether an address is the one that a run keeps, passwords and relative paths aside."""
    return kept is not None and absolute(without_password(given)) == absolute(kept)


def save(options: Options, folder: Path) -> None:
    """Write the options to a run's folder, without the passwords of its stores."""
    inside, kept = f"{folder.absolute()}/", f"{RUN_FOLDER}/"
    addresses = {name: address and without_password(address).replace(inside, kept) for name, address in stores(options).items()}
    text = json.dumps(dataclasses.asdict(options) | addresses, indent=2)
    write_whole(folder / FILE_NAME, text + "\n")


def load(folder: Path) -> Options:
    """Options of the run in `folder`, with the run's name. Raises `ConfigError` when there is none."""
    try:
        values = read_json(folder / FILE_NAME, dict[str, Any])
    except FileNotFoundError:
        runs = sorted(path.parent.name for path in folder.parent.glob(f"*/{FILE_NAME}"))
        there = f"the runs there are {', '.join(runs)}" if runs else "there are no runs there"
        raise ConfigError([f"there is no run {folder.name} in {folder.parent}; {there}"]) from None
    once = {"register", "dry_run", "quiet", "json", "debug", "resume"}
    kept = {name: value for name, value in values.items() if name not in once and name not in REMOVED}
    unknown = sorted(kept.keys() - table().keys())
    if unknown:
        advice = "use the version of the project that began the run"
        raise ConfigError([f"{folder / FILE_NAME}: this version has no option {shown(', '.join(unknown))}; {advice}"])
    options = checked(kept, Options, folder / FILE_NAME)
    addresses: dict[str, Any] = {
        name: address.replace(RUN_FOLDER, str(folder.absolute())) for name, address in stores(options).items() if address
    }
    return dataclasses.replace(options, name=folder.name, **addresses)


def _warn_of_removed(folder: Path) -> None:
    """Print each option of the run in `folder` that this version does not have."""
    values = read_json(folder / FILE_NAME, dict[str, Any])
    for name in REMOVED:
        if values.get(name) not in (None, "cut"):  # what `--on-budget cut` did is done always
            sentence = f"the run was started with {flag_of(name)} {values[name]}, which this version does not have"
            sys.stderr.write(f"{sentence}; to limit the search give --time-budget or --gpu-hours\n")


def stores(options: Options) -> dict[str, str | None]:
    """The addresses of the stores, by option."""
    return {name: getattr(options, name) for name in STORES}


def with_absolute_files(options: Options) -> Options:
    """The options with absolute paths in the addresses of files: a resumed search finds them from any folder."""
    addresses = {name: expand(address) for name, address in stores(options).items() if address}
    changes: dict[str, Any] = {name: absolute(address) for name, address in addresses.items() if file_of(address)}
    return dataclasses.replace(options, **changes)


def not_kept(options: Options) -> list[str]:
    """A sentence for each address with a password, which is not written to the run's folder."""
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
"""The environment variables from which the libraries take a missing password, by the address's scheme."""


def storage_of(options: Options, run_dir: Path) -> str:
    """Optuna's storage: the one that was asked for, else a journal in the run's folder. Raises `ConfigError`."""
    return absolute(expand(options.storage)) if options.storage else f"journal:{run_dir / 'study.journal'}"


def tracking_uri_of(options: Options, run_dir: Path) -> str:
    """MLflow's store: the one that was asked for, else SQLite in the run's folder. Raises `ConfigError`."""
    return resolve_tracking_uri(options.tracking_uri and expand(options.tracking_uri), run_dir)
