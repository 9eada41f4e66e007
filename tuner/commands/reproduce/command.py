"""Train a trial again from its record: `python -m tuner reproduce RUN [--trial N]`.

Exit status: 0 the result is the same, to the last bit or within the noise; 1 it is not; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from model.training.evaluation import Evaluation
from tuner.commands.reproduce.recorded import Recorded
from tuner.commands.run_command import execute, folder_of, run_parser
from tuner.results.text import number_text

MATCHES, DIFFERS, INTERRUPTED = 0, 1, 130


def parser() -> argparse.ArgumentParser:
    text = run_parser("reproduce", "Train a trial again from its record, and say whether the result is the same.")
    text.add_argument("--trial", type=int, metavar="N", help="the trial's number (the champion)")
    text.add_argument("--data", metavar="DIR|hub|demo", help="where the data are now (as recorded)")
    text.add_argument("--json", action="store_true", help="print one JSON object at the end")
    text.add_argument("--debug", action="store_true", help="show tracebacks")
    return text


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    try:
        return reproduce(folder_of(arguments), arguments)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the training is not compared, and the run is as it was\n")
        return INTERRUPTED


def reproduce(folder: Path, arguments: argparse.Namespace) -> int:
    """Train again and print what came of it. Raises `ConfigError`."""
    from tuner.commands.reproduce import recorded, retrain, verdict
    from tuner.results import environment

    found = recorded.read(folder)
    one = recorded.training(found, arguments.trial)
    shape, objective = recorded.gang(found, folder), recorded.objective(found)
    data = recorded.data(found, folder, arguments.data)
    differences = recorded.differences(found["environment"], environment.describe())
    teller = Teller(one, is_silent=arguments.json)
    told = f"{one.state}, score {number_text(one.score)}, seed {one.config.seed}, {shape.describe()}"
    teller.say(f"{one.name} of {folder.name}: {told}")
    for line in differences or ["versions, commit and hardware are those of the record"]:
        teller.say(line)
    again = retrain.retrain(one, objective, shape, data, folder, teller.evaluated)
    result = verdict.verdict(one, again, verdict.noise(found, one, objective))
    teller.say(result.sentence)
    if arguments.json:
        came_to = {"recorded": one.score, "score": again.score, "metrics": dict(again.metrics), "differences": differences}
        verdict_of = {"run": folder.name, "training": one.name, "verdict": result.word, "sentence": result.sentence}
        sys.stdout.write(json.dumps(verdict_of | came_to) + "\n")
    return MATCHES if result.matches else DIFFERS


class Teller:
    """Says how the training goes beside what its record says."""

    def __init__(self, recorded: Recorded, *, is_silent: bool) -> None:
        self._recorded = recorded
        self._is_silent = is_silent

    def say(self, line: str) -> None:
        if not self._is_silent:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def evaluated(self, evaluation: Evaluation, score: float) -> None:
        looks = self._recorded.evaluations
        there = looks[evaluation.index - 1]["score"] if evaluation.index <= len(looks) else None
        beside = f"  recorded {number_text(there)}{'' if there != score else '  equal'}" if there is not None else ""
        place = f"evaluation {evaluation.index} of {evaluation.n_evaluations}  step {evaluation.step}"
        self.say(f"{place}  score {number_text(score)}{beside}")
