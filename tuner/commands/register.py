"""Register a champion in MLflow: `python -m tuner register RUN`, for a run whose MLflow was unreachable at its end.

Exit status: 0 registered; 1 MLflow did not take it; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from model.config import ConfigError
from tuner.commands.run_command import execute, folder_of, run_parser
from tuner.config import options
from tuner.results import results_json
from tuner.tracking.mlflow.registry import register

REGISTERED, NOT_TAKEN = 0, 1


def parser() -> argparse.ArgumentParser:
    return run_parser("register", "Register a run's champion in MLflow.")


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments)
    path = folder / results_json.FILE_NAME
    found = results_json.read(path)
    if found["champion"] is None or found["mlflow"]["run_id"] is None:
        lacks = "champion" if found["champion"] is None else "run in MLflow"
        raise ConfigError([f"{folder.name} has no {lacks}; --resume {folder.name} goes on with it"])
    try:
        registered = register(folder, found, options.tracking_uri_of(options.load(folder), folder))
    except ConnectionError as error:
        sys.stderr.write(f"MLflow did not take the champion: {error}\n")
        return NOT_TAKEN
    results_json.write(path, {**found, "champion": {**found["champion"], "registered": asdict(registered)}})
    sys.stdout.write(f"{results_json.registration_text(asdict(registered))}\n")
    return REGISTERED
