"""Report on a run: `python -m tuner report RUN` writes its page, also while it runs; `--paper RUN` prints the paper's tables.

Exit status: 0 written or printed; 2 wrong usage, or a run without the records that are needed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from model.config import ConfigError
from tuner.commands.run_command import DONE, add_runs_dir, execute, print_lines
from tuner.config import run_folder


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="python -m tuner report", description="Write a run's report.html, or print a table of the paper beside the run's."
    )
    command.add_argument("run", metavar="RUN", nargs="?", help="a run's name, or the path of its folder; it may still run")
    command.add_argument("--to", metavar="FILE", type=Path, help="where the page goes (report.html in the run's folder)")
    command.add_argument("--paper", metavar="RUN", help="print the paper's tables beside this run's instead")
    add_runs_dir(command)
    source = "inline: the page holds Plotly's script; cdn: it is 4.8 MB smaller and loads it from a network (inline)"
    command.add_argument("--plotly", choices=("inline", "cdn"), help=source)
    command.add_argument("--format", choices=("text", "markdown", "json"), help="of --paper (text)")
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    _check_usage(arguments)
    if arguments.paper is not None:
        print_tables(run_folder.find(arguments.paper, arguments.runs_dir), arguments.format or "text")
        return DONE
    from tuner.report.page import write

    folder = run_folder.find(arguments.run, arguments.runs_dir)
    page = write(Path(os.path.abspath(folder)), arguments.to, plotly=arguments.plotly or "inline")  # noqa: PTH100  # removes `..` and keeps links
    print_lines([str(page)])
    return DONE


def _check_usage(arguments: argparse.Namespace) -> None:
    problems = []
    if (arguments.run is None) == (arguments.paper is None):
        problems.append("give either a run, for its page, or --paper with a run, for the paper's tables")
    if arguments.paper is not None and arguments.to is not None:
        problems.append(f"--to {arguments.to} is for a run's page, not for --paper, which prints")
    if arguments.paper is not None and arguments.plotly is not None:
        problems.append(f"--plotly {arguments.plotly} is for a run's page, not for --paper, which prints")
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

    tables = documents(results.read(folder / results.FILE_NAME))
    if form == "json":
        print_lines([formats.as_json(tables)])
    elif form == "markdown":
        print_lines(["\n\n".join(map(formats.markdown, tables))])
    else:
        console = Console()
        formats.print_text(console if console.is_terminal else Console(width=FILE_WIDTH), tables)
