"""The command line of a benchmark: the options that several share, and wrong ones told in a sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from model.config import ConfigError

if TYPE_CHECKING:
    from tuner.config.options import Options


WRONG_USAGE = 2


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a benchmark's `main` and exit with its status; what is wrong with its options or data is a sentence on stderr."""
    try:
        status = main()
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        status = WRONG_USAGE
    sys.exit(status)


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """A command line of the benchmark `name`, described by the first line of its `doc`."""
    text = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc.splitlines()[0])
    text.add_argument("--json", type=Path, help="where to write the figures")
    return text


def positive(text: str) -> int:
    """The type of an option that counts something, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def add_training_options(text: argparse.ArgumentParser, *, repeats: int) -> None:
    """The options of a benchmark that trains in its own process."""
    text.add_argument("--data", default="demo", help="as of a search (demo)")
    text.add_argument("--batch", type=positive, default=32, help="examples of a task in a step of ours (32)")
    text.add_argument("--repeats", type=positive, default=repeats, help=f"turns of everything that is compared ({repeats})")
    text.add_argument("--threads", type=positive, default=2, help="threads (2)")


def add_search_options(text: argparse.ArgumentParser, *, trials: int = 8, data: str = "demo") -> None:
    """The options of a search that another is compared with."""
    text.add_argument("--space", default="smart_mtl", help="as of a search (smart_mtl)")
    text.add_argument("--profile", help="as of a search")
    text.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="as of a search")
    text.add_argument("--backbone", help="as of a search")
    text.add_argument("--data", default=data, help=f"as of a search ({data})")
    text.add_argument("--trials", type=int, default=trials, help=f"trials of a search ({trials})")
    text.add_argument("--slots", type=int, default=2, help="trials at once (2)")
    text.add_argument("--seed", type=int, default=0, help="as of a search (0)")


def options_of(arguments: argparse.Namespace) -> Options:
    """A search's options, of a command line with `add_search_options`."""
    from tuner.config.options import Options

    return Options(
        space=arguments.space,
        profile=arguments.profile,
        settings=tuple(arguments.settings),
        backbone=arguments.backbone,
        data=arguments.data,
        trials=arguments.trials,
        max_concurrent=arguments.slots,
        seed=arguments.seed,
        finalists=0,
        register=False,
    )
