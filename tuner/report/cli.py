"""A run's report: `python -m tuner.report RUN` writes its page, also while it runs; `--paper RUN` prints the paper's tables.

Exit status: 0 written or printed; 2 wrong usage, or a run that nothing can be made from.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from model.config import ConfigError
from tuner.config import options

DONE, WRONG_USAGE = 0, 2


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m tuner.report", description="Write a run's report.html, or print a table of the paper beside the run's."
    )
    text.add_argument("run", metavar="RUN", nargs="?", help="a run's name, or the path of its folder; it may still run")
    text.add_argument("--to", metavar="FILE", type=Path, help="where the page goes (report.html in the run's folder)")
    text.add_argument("--paper", metavar="RUN", help="print the paper's tables beside this run's instead")
    text.add_argument("--runs-dir", metavar="DIR", default="runs", help="folder of the runs (runs)")
    text.add_argument("--format", choices=("text", "markdown", "json"), help="of --paper (text)")
    return text


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        _check(arguments)
        if arguments.paper is not None:
            print_report(run_folder(arguments.paper, Path(arguments.runs_dir)), arguments.format or "text")
        else:
            from tuner.report.page import write

            folder = run_folder(arguments.run, Path(arguments.runs_dir))
            written = write(Path(os.path.abspath(folder)), arguments.to)  # noqa: PTH100  # without `..`, links as they are
            sys.stdout.write(f"{written}\n")
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return WRONG_USAGE
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


def print_report(folder: Path, form: str) -> None:
    """Read a run and print its tables. Raises `ConfigError`."""
    from rich.console import Console

    from tuner.report.paper import formats
    from tuner.report.paper.document import documents
    from tuner.results import results_json as results
    from tuner.tracking.progress.terminal import FILE_WIDTH

    found = documents(results.read(folder / results.FILE_NAME))
    if form == "json":
        sys.stdout.write(formats.as_json(found) + "\n")
    elif form == "markdown":
        sys.stdout.write("\n\n".join(map(formats.markdown, found)) + "\n")
    else:
        console = Console()
        formats.print_text(console if console.is_terminal else Console(width=FILE_WIDTH), found)


def run_folder(run: str, runs_dir: Path) -> Path:
    """The folder of a run: a name among the runs, or a path. Raises `ConfigError` with the runs that there are."""
    named, path = (runs_dir / run).expanduser(), Path(run).expanduser()
    found = next((folder for folder in (named, path) if folder.is_dir()), None)
    if found is not None and run.strip():
        return found
    marks = (options.FILE_NAME, "results.json")
    runs = sorted({each.parent.name for mark in marks for each in runs_dir.expanduser().glob(f"*/{mark}")})
    there = f"the runs there are {', '.join(runs)}" if runs else "there are no runs there"
    raise ConfigError([f"there is no run {run} in {runs_dir}, and no such folder; {there}"])
