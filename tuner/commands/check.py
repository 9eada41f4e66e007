"""Check that the stores of a search agree: `python -m tuner check RUN`.

Exit status: 0 they agree; 1 they do not, with a sentence for each disagreement; 2 wrong usage, such as an unknown run.
"""

from __future__ import annotations

import argparse
import sys

from model.config import ConfigError
from tuner.commands.run_command import execute, folder_of, print_lines, run_parser
from tuner.config import command_lines, options, run_folder
from tuner.results import results_json
from tuner.search.consistency import MLFLOW, OPTUNA, RESULTS, check

AGREE, DISAGREE = 0, 1


def parser() -> argparse.ArgumentParser:
    return run_parser("check", "Check that everything a search has stored agrees.")


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments)
    recorded = options.load(folder)
    if run_folder.is_held(folder):
        raise ConfigError([f"the search {folder.name} is running; check it when it has ended"])
    results = results_json.read(folder / RESULTS)
    findings = check(folder, results, options.storage_of(recorded, folder), options.tracking_uri_of(recorded, folder))
    print_lines(findings.notes, sys.stderr)
    print_lines(findings.disagreements)
    if findings.disagreements:
        print_lines([f"{command_lines.resume(folder)} updates {MLFLOW} and {RESULTS} from the study"], sys.stderr)
        return DISAGREE
    stores = " and ".join([OPTUNA, RESULTS] if findings.notes else [f"{OPTUNA}, {MLFLOW}", RESULTS])
    print_lines([f"{folder.name}: {stores} agree on {len(results['trials'])} trial(s)"])
    return AGREE
