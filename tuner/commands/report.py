"""A run's report: `python -m tuner report RUN` writes its page, also while it runs; `--paper RUN` prints the paper's tables.

Exit status: 0 written or printed; 2 wrong usage, or a run that nothing can be made from.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from model.config import ConfigError
from tuner.commands.run_command import DONE, add_runs_dir, execute
from tuner.config import run_folder


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m tuner report", description="Write a run's report.html, or print a table of the paper beside the run's."
    )
    text.add_argument("run", metavar="RUN", nargs="?", help="a run's name, or the path of its folder; it may still run")
    text.add_argument("--to", metavar="FILE", type=Path, help="where the page goes (report.html in the run's folder)")
    text.add_argument("--paper", metavar="RUN", help="print the paper's tables beside this run's instead")
    add_runs_dir(text)
    text.add_argument("--format", choices=("text", "markdown", "json"), help="of --paper (text)")
    return text


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if arguments.paper is not None:
        print_tables(run_folder.find(arguments.paper, arguments.runs_dir), arguments.format or "text")
        return DONE
    from tuner.report.page import write

    folder = run_folder.find(arguments.run, arguments.runs_dir)
    written = write(Path(os.path.abspath(folder)), arguments.to)  # noqa: PTH100  # without `..`, links as they are
    sys.stdout.write(f"{written}\n")
    return DONE


def _check(arguments: argparse.Namespace) -> None:
    problems = []
    if (arguments.run is None) == (arguments.paper is None):
        problems.append("give a run for its page, or --paper with a run for the paper's tables: one of the two")
    if arguments.paper is not None and arguments.to is not None:
        problems.append(f"--to {arguments.to} is for a run's page, not for --paper, which prints")
    if arguments.paper is None and arguments.format is not None:
        problems.append(f"--format {arguments.format} is for --paper; a run's page is HTML")
    if problems:
        raise ConfigError(problems)


def print_tables(folder: Path, form: str) -> None:
    """Read a run and print its tables. Raises `ConfigError`."""
    from rich.console import Console

    from tuner.report.paper import formats
    from tuner.report.paper.document import documents
    from tuner.results import results_json as results
    from tuner.results.text import FILE_WIDTH

    found = documents(results.read(folder / results.FILE_NAME))
    if form == "json":
        sys.stdout.write(formats.as_json(found) + "\n")
    elif form == "markdown":
        sys.stdout.write("\n\n".join(map(formats.markdown, found)) + "\n")
    else:
        console = Console()
        formats.print_text(console if console.is_terminal else Console(width=FILE_WIDTH), found)
