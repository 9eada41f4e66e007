"""Train a trial again from its record: `python -m tuner reproduce RUN [--trial N]`.

Exit status: 0 the result is the same, to the last bit or within the noise; 1 it is not; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from model.training.evaluation import Evaluation
from tuner.commands.reproduce.recorded import RecordedTraining
from tuner.commands.run_command import execute, folder_of, print_lines, run_parser
from tuner.results.text import number_text
from tuner.tracking.events import Observer

MATCHES, DIFFERS, INTERRUPTED = 0, 1, 130


def parser() -> argparse.ArgumentParser:
    command = run_parser("reproduce", "Train a trial again from its record, and say whether the result is the same.")
    command.add_argument("--trial", type=int, metavar="N", help="the trial's number (the champion)")
    command.add_argument("--data", metavar="DIR|hub|demo", help="where the data are now (as recorded)")
    command.add_argument("--json", action="store_true", help="print one JSON object at the end")
    command.add_argument("--debug", action="store_true", help="show tracebacks")
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    try:
        return reproduce(folder_of(arguments), arguments)
    except KeyboardInterrupt:
        print_lines(["interrupted: nothing was compared, and the run is unchanged"], sys.stderr)
        return INTERRUPTED


def reproduce(folder: Path, arguments: argparse.Namespace) -> int:
    """Train again and print the comparison. Raises `ConfigError`."""
    from tuner.commands.reproduce import recorded, retrain, verdict
    from tuner.results import environment

    results = recorded.read(folder)
    training = recorded.training(results, arguments.trial)
    shape, objective = recorded.gang(results, folder), recorded.objective(results)
    data = recorded.data(results, folder, arguments.data, training.config)
    differences = recorded.differences(results["environment"], environment.describe())
    printer = ProgressPrinter(training, is_silent=arguments.json)
    facts = f"{training.state}, score {number_text(training.score)}, seed {training.config.seed}, {shape.describe()}"
    printer.print(f"{training.name} of {folder.name}: {facts}")
    for line in differences or ["versions, commit and hardware are those of the record"]:
        printer.print(line)
    repeat = retrain.retrain(training, objective, shape, data, folder, printer)
    result = verdict.verdict(training, repeat, verdict.noise(results, training, objective))
    printer.print(result.sentence)
    if arguments.json:
        scores = {"recorded": training.score, "score": repeat.score, "metrics": dict(repeat.metrics)}
        verdict_of = {"run": folder.name, "training": training.name, "verdict": result.word, "sentence": result.sentence}
        print_lines([json.dumps(verdict_of | scores | {"differences": differences})])
    return MATCHES if result.matches else DIFFERS


class ProgressPrinter(Observer):
    """Prints each evaluation beside the recorded one."""

    def __init__(self, recorded: RecordedTraining, *, is_silent: bool) -> None:
        self._recorded = recorded
        self._is_silent = is_silent

    def print(self, line: str) -> None:
        if not self._is_silent:
            print_lines([line])
            sys.stdout.flush()

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        line = f"evaluation {evaluation.index} of {evaluation.n_evaluations}  step {evaluation.step}"
        line += f"  score {number_text(score)}"
        if evaluation.index <= len(self._recorded.evaluations):
            recorded = self._recorded.evaluations[evaluation.index - 1]["score"]
            line += f"  recorded {number_text(recorded)}{'  equal' if recorded == score else ''}"
        self.print(line)
