"""Check that everything a search has stored agrees: `python -m tuner check RUN`.

Exit status: 0 it agrees; 1 it does not, with a sentence for each disagreement; 2 wrong usage, such as no such run.
"""

from __future__ import annotations

import argparse
import sys

from model.config import ConfigError
from tuner.commands.run_command import execute, folder_of, run_parser
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
    kept = options.load(folder)
    if run_folder.is_held(folder):
        raise ConfigError([f"the search {folder.name} is running; check it when it has ended"])
    found = results_json.read(folder / RESULTS)
    findings = check(folder, found, options.storage_of(kept, folder), options.tracking_uri_of(kept, folder))
    sys.stderr.write("".join(f"{note}\n" for note in findings.notes))
    sys.stdout.write("".join(f"{sentence}\n" for sentence in findings.disagreements))
    if findings.disagreements:
        sys.stderr.write(f"{command_lines.resume(folder)} brings {MLFLOW} and {RESULTS} up to the study\n")
        return DISAGREE
    stores = " and ".join([OPTUNA, RESULTS] if findings.notes else [f"{OPTUNA}, {MLFLOW}", RESULTS])
    sys.stdout.write(f"{folder.name}: {stores} agree on {len(found['trials'])} trial(s)\n")
    return AGREE
