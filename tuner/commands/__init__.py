"""The commands of `python -m tuner COMMAND` and of the console script `smart-tuner`, one module or package each.

A command has `parser()` and `main(argv)`, and a line in `COMMANDS`. Importing this package imports no command.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["COMMANDS", "Command"]


@dataclass(frozen=True)
class Command:
    """A command's module, and its line in `--help`."""

    module: str
    summary: str

    def load(self) -> Callable[[list[str]], int]:
        """Import the command's `main`, which takes the arguments after the command's name and returns the exit status."""
        main: Callable[[list[str]], int] = importlib.import_module(self.module).main
        return main


COMMANDS = {
    "search": Command("tuner.search", "search for the best configuration"),
    "status": Command("tuner.commands.status", "show how far a search is"),
    "doctor": Command("tuner.commands.doctor.command", "check a machine or a cluster before a search"),
    "check": Command("tuner.commands.check", "check that everything a search has stored agrees"),
    "report": Command("tuner.commands.report", "write a run's report.html, or print the paper's tables beside the run's"),
    "reproduce": Command("tuner.commands.reproduce.command", "train a trial again from its record and compare"),
    "export": Command("tuner.commands.export", "write a champion as an encoder that transformers loads"),
    "register": Command("tuner.commands.register", "register a champion in MLflow"),
    "simulate": Command("tuner.commands.simulate.command", "compare samplers and pruners without training"),
}
