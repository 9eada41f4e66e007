"""Export a champion: `python -m tuner export RUN --to DIR` writes it as an encoder that transformers loads.

Exit status: 0 written; 2 wrong usage, or a run without a champion.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tuner.commands.run_command import DONE, execute, folder_of, print_lines, run_parser
from tuner.results.export import export


def parser() -> argparse.ArgumentParser:
    command = run_parser("export", "Write a run's champion as an encoder that transformers loads, its heads, and a model card.")
    command.add_argument("--to", metavar="DIR", type=Path, required=True, help="a new folder")
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    comparison = export(folder_of(arguments), arguments.to)
    compared = f"{comparison.n_texts} texts have the champion's scores"
    print_lines([f"{arguments.to}: encoder, heads, tokenizer, predict.py and a model card; {compared}"])
    return DONE
