"""Register a champion in MLflow: `python -m tuner register RUN`, for a run whose MLflow was unreachable at its end.

Exit status: 0 registered; 1 MLflow is unreachable or refused it; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from model.config import ConfigError
from tuner.commands.run_command import execute, folder_of, print_lines, run_parser
from tuner.config import options
from tuner.results import results_json
from tuner.tracking.mlflow.registry import register
from tuner.tracking.mlflow.relocation import relocate

REGISTERED, NOT_TAKEN = 0, 1


def parser() -> argparse.ArgumentParser:
    return run_parser("register", "Register a run's champion in MLflow.")


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments)
    path = folder / results_json.FILE_NAME
    results = results_json.read(path)
    if results["champion"] is None or results["mlflow"]["run_id"] is None:
        missing = "champion" if results["champion"] is None else "run in MLflow"
        raise ConfigError([f"{folder.name} has no {missing}; resume the search with --resume {folder.name}"])
    tracking_uri = options.tracking_uri_of(options.load(folder), folder)
    try:
        relocate(folder, tracking_uri)
        registered = register(folder, results, tracking_uri)
    except ConnectionError as error:
        print_lines([f"the champion could not be registered in MLflow: {error}"], sys.stderr)
        return NOT_TAKEN
    results_json.write(path, results | {"champion": results["champion"] | {"registered": asdict(registered)}})
    print_lines([results_json.registration_text(asdict(registered))])
    return REGISTERED
