"""Tables made from a run: `python -m tuner.report --paper RUN` prints the paper's beside it.

Exit status: 0 printed; 2 wrong usage, or a run that the table cannot be made from.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.config import ConfigError
from tuner import options

PRINTED, WRONG_USAGE = 0, 2


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(prog="python -m tuner.report", description="Print a table of the paper beside a run's.")
    text.add_argument("--paper", metavar="RUN", required=True, help="a run's name, or the path of its folder")
    text.add_argument("--runs-dir", metavar="DIR", default="runs", help="folder of the runs (runs)")
    text.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="what to print (text)")
    return text


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        print_report(run_folder(arguments.paper, Path(arguments.runs_dir)), arguments.format)
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return WRONG_USAGE
    return PRINTED


def print_report(folder: Path, form: str) -> None:
    """Read a run and print its tables. Raises `ConfigError`."""
    from rich.console import Console

    from tuner import results
    from tuner.paper import formats
    from tuner.paper.document import documents
    from tuner.progress import FILE_WIDTH

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


if __name__ == "__main__":
    sys.exit(main())
