"""Export a champion: `python -m tuner export RUN --to DIR` writes it as plain transformers load it.

Exit status: 0 written; 2 wrong usage, or a run without a champion.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.commands.run_command import DONE, execute, folder_of, run_parser
from tuner.results.export import export


def parser() -> argparse.ArgumentParser:
    text = run_parser("export", "Write a run's champion as an encoder that transformers loads, its heads, and a model card.")
    text.add_argument("--to", metavar="DIR", type=Path, required=True, help="a new folder")
    return text


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    export(folder_of(arguments), arguments.to)
    sys.stdout.write(f"{arguments.to}: encoder, heads, tokenizer, predict.py and a model card\n")
    return DONE
