"""Displays of a running search: a live table on a terminal or in a notebook, plain lines elsewhere, or the summary only."""

from __future__ import annotations

import io
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import IO, Any

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.table import Table
from rich.text import Text

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.config.budget import trials_in_words
from tuner.results.facts import SearchFacts
from tuner.results.summary import print_summary
from tuner.results.text import GENERATED_NOTE, controls_text, duration, number_text, one_line
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer
from tuner.tracking.progress.state import ProgressState, Row, eta_s

REFRESH_PER_S = 2.0
NOTEBOOK_WIDTH, NOTEBOOK_HEIGHT = 100, 24
"""Columns and lines that an output cell of a notebook shows without scrolling."""
STATE_STYLES = {"RUNNING": "cyan", "PAUSED": "blue", "COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


def header(plan: SearchFacts) -> list[str]:
    """The lines that describe a search: space, budget, data, and where the results go."""
    trials = trials_in_words(plan.n_trials, plan.max_trials)
    lines = [
        f"search {plan.name}: space {plan.space} ({plan.profile}), {trials}, {plan.max_concurrent} at once",
        f"sampler {plan.sampler}, pruner {plan.pruner}, {plan.n_evaluations} evaluations per trial, score: {plan.metric}",
        f"data {plan.data_source}: {plan.data_summary}",
        f"results {plan.run_dir}",
    ]
    if plan.requirements:
        lines.insert(2, f"required: {', '.join(plan.requirements)}{controls_text(plan.controls)}")
    if plan.budget != "none":
        lines.insert(1, f"budget {plan.budget}")
    if plan.confirmation != "none":
        lines.insert(-2, f"then the confirmation: {plan.confirmation}")
    if plan.is_generated:
        lines.insert(-1, GENERATED_NOTE)
    if plan.dashboard_url:
        lines.append(f"Ray dashboard {plan.dashboard_url}")
    if plan.finished:
        lines.append(f"resumed: {len(plan.finished)} trials were finished earlier")
    n_paused = sum(record.state == "PAUSED" for record in plan.unfinished)
    if len(plan.unfinished) > n_paused:
        lines.append(f"resumed: {len(plan.unfinished) - n_paused} trials were begun earlier and go on")
    if n_paused:
        lines.append(f"resumed: {n_paused} trials are paused and may be promoted")
    return lines


def best_text(state: ProgressState) -> str:
    """`best 0.6410 (trial 1)`, or `best -` before the first complete trial."""
    best = state.best
    if best is None:
        return "best -"
    missed = f", misses the requirements by {number_text(best.shortfall)}" if best.shortfall else ""
    return f"best {number_text(best.score)} (trial {best.number}{missed})"


class NullProgress(Observer):
    """`--quiet`: prints the final summary only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def search_finished(self, results: dict[str, Any]) -> None:
        print_summary(self._console, results)


class PlainProgress(NullProgress):
    """One line per event, for logs and pipes; lines start with `trial N`, so that grep finds a trial."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console)
        self._clock = clock
        self._state = ProgressState()

    def search_started(self, plan: SearchFacts) -> None:
        self._state.start(plan, self._clock())
        for line in header(plan):
            self._console.print(Text(line), soft_wrap=True)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._state.trial_started(number)
        smart = f"eps {config.smart.epsilon:g} lambda {config.smart.lambda_:g} K {config.smart.steps}"
        settings = f"{'+'.join(config.mixture)}  {config.mixing.strategy}  {config.pair_encoding}  lr {config.optim.lr:.2g}"
        self._update(f"trial {number}  started  {settings}  smart {smart if config.smart.enabled else 'off'}")

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._state.evaluated(number, evaluation, score)
        progress = f"eval {evaluation.index}/{evaluation.n_evaluations}  step {evaluation.step}"
        self._update(f"trial {number}  {progress}  score {number_text(score)}  {best_text(self._state)}")

    def trial_noted(self, number: int, note: str) -> None:
        self._update(f"trial {number}  note  {note}")

    def trial_paused(self, record: TrialRecord) -> None:
        self._state.trial_paused(record)
        self._update(f"trial {record.number}  PAUSED  score {number_text(record.score)}  {one_line(record.reason or '')}")

    def trial_finished(self, record: TrialRecord) -> None:
        self._state.trial_finished(record)
        reason = f"  {one_line(record.reason)}" if record.reason else ""
        outcome = f"score {number_text(record.score)}  {record.seconds:.1f} s  {best_text(self._state)}"
        self._update(f"trial {record.number}  {record.state}  {outcome}{reason}")

    def _update(self, line: str) -> None:
        """Show an event that `line` describes."""
        self._console.print(Text(line), soft_wrap=True)


class TableProgress(PlainProgress, ABC):
    """A table that is updated in place, redrawn at most `REFRESH_PER_S` times a second."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._drawn_s = -float("inf")

    @abstractmethod
    def draw(self, now_s: float) -> None:
        """Draw the current state over the previous drawing."""

    def search_started(self, plan: SearchFacts) -> None:
        super().search_started(plan)
        self._redraw(at_once=True)

    def tick(self) -> None:
        self._redraw()

    def _update(self, line: str) -> None:
        self._redraw()

    def _redraw(self, at_once: bool = False) -> None:
        now = self._clock()
        if at_once or now - self._drawn_s >= 1 / REFRESH_PER_S:
            self._drawn_s = now
            self.draw(now)


class LiveProgress(TableProgress):
    """The table on a terminal; the summary replaces it at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        to_terminal = sys.stderr.isatty()  # redirected stderr keeps its lines
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=to_terminal)
        self._size = console.size

    def draw(self, now_s: float) -> None:
        if self._console.size != self._size:  # a resized terminal has wrapped the old table to an unknown height
            self._size = self._console.size
            self._live.stop()
            self._console.control(Control.clear(), Control.home())
        if not self._live.is_started:
            self._live.start()
        self._live.update(live_table(self._state, now_s, self._console.height), refresh=True)

    def search_finished(self, results: dict[str, Any]) -> None:
        self.close()
        super().search_finished(results)

    def close(self) -> None:
        self._live.stop()


class NotebookProgress(TableProgress):
    """Shows the table as text in one output; the final output is its two lines of totals."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(_console(stream))
        self._output: Any = None

    def draw(self, now_s: float) -> None:
        stream = io.StringIO()
        _console(stream).print(live_table(self._state, now_s, NOTEBOOK_HEIGHT))
        self._show(stream.getvalue())

    def search_finished(self, results: dict[str, Any]) -> None:
        self._show("\n".join(totals(self._state, self._clock())) + "\n")
        super().search_finished(results)

    def _show(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._output is None:
            self._output = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._output.update(bundle, raw=True)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, width=NOTEBOOK_WIDTH, force_jupyter=False, color_system=None)


def live_table(state: ProgressState, now_s: float, height: int) -> Group:
    """The table and two lines of totals, in at most `height` lines of the console's width.

    Running trials come first, then paused ones, then the last finished ones; rows that do not fit are omitted.
    """
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("trial", "state", "eval", "step", "score", "best", "ETA"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("reason", ratio=1, no_wrap=True, overflow="ellipsis", style="dim")  # takes the remaining width
    for row in state.visible(max(1, height - 4)):
        table.add_row(*_cells(row, state, now_s))
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in totals(state, now_s)))


def _cells(row: Row, state: ProgressState, now_s: float) -> list[Text]:
    """The cells of one trial, without markup."""
    last = row.last
    cells = [
        str(row.number),
        row.state.lower(),
        f"{last['index']}/{last['n_evaluations']}" if last else "-",
        f"{last['step']}/{last['n_steps']}" if last else "-",
        number_text(row.score),
        number_text(row.best_score),
        duration(eta_s(row.seconds, last["step"] / last["n_steps"] if last else 0.0)) if row.state == "RUNNING" else "",
        one_line(row.reason or ""),
    ]
    texts = [Text(cell) for cell in cells]
    texts[1].stylize(STATE_STYLES[row.state])
    if state.best and state.best.number == row.number:
        texts[4].stylize("bold")
    return texts


def totals(state: ProgressState, now_s: float) -> tuple[str, str]:
    """`12.4/40 full trials  2 running  8 pruned  1 failed` and `best 0.6410 (trial 1)  elapsed 2:05  ETA 4:10`."""
    n = state.counts()
    trials = f"{state.used:.1f}/{state.n_trials} full trials  {n['RUNNING']} running  "
    trials += f"{n['PRUNED']} pruned  {n['FAIL']} failed"
    trials += f"  {n['PAUSED']} paused" if n["PAUSED"] else ""
    trials += f"  {state.n_repeats} repeated" if state.n_repeats else ""
    times = f"elapsed {duration(state.elapsed_s(now_s))}  ETA {duration(state.eta_s(now_s))}"
    return trials, f"{best_text(state)}  {times}"
