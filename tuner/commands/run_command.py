"""What commands about a run share: their arguments, and the report of wrong usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from model.config import ConfigError
from tuner.config import run_folder

DONE, WRONG_USAGE = 0, 2


def run_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with RUN and `--runs-dir`."""
    parser = argparse.ArgumentParser(prog=f"python -m tuner {name}", description=description)
    parser.add_argument("run", metavar="RUN", help="a run's name, or the path of its folder")
    add_runs_dir(parser)
    return parser


def add_runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs (runs)")


def folder_of(arguments: argparse.Namespace) -> Path:
    """The absolute folder of the run in the arguments. Raises `ConfigError` when it does not exist."""
    return run_folder.find(arguments.run, arguments.runs_dir).absolute()


def execute(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], argv: list[str] | None) -> int:
    """Parse `argv` and call `run`. Returns its exit status, or 2 with every problem on stderr when it raises `ConfigError`.

    `--debug`, where the command has it, shows the traceback instead.
    """
    arguments = parser.parse_args(argv)
    try:
        return run(arguments)
    except ConfigError as error:
        if getattr(arguments, "debug", False):
            raise
        print_lines(error.problems, sys.stderr)
        return WRONG_USAGE


def print_lines(lines: Iterable[str], stream: IO[str] | None = None) -> None:
    """Print each line, to stdout by default."""
    (stream or sys.stdout).write("".join(f"{line}\n" for line in lines))
