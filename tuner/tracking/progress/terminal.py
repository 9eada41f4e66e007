"""What a search shows while it runs: a live table on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

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
from tuner.tracking.events import Observer, SilentObserver
from tuner.tracking.progress.standings import Row, Standings

REFRESH_PER_S = 2.0
STATE_STYLES = {"RUNNING": "cyan", "PAUSED": "blue", "COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


def header(plan: SearchFacts) -> list[str]:
    """Lines that say what is searched, on what, and where it goes."""
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


def best_text(standings: Standings) -> str:
    """`best 0.6410 (trial 1)`, or `best -` before the first complete trial."""
    best = standings.best
    if best is None:
        return "best -"
    missed = f", misses the requirements by {number_text(best.shortfall)}" if best.shortfall else ""
    return f"best {number_text(best.score)} (trial {best.number}{missed})"


class Progress(Observer, Protocol):
    """An observer that shows what it hears."""

    def close(self) -> None:
        """Give the terminal back, however the search ended; may be called twice."""


class NullProgress(SilentObserver):
    """`--quiet`: the final summary and nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def search_finished(self, results: dict[str, Any]) -> None:
        print_summary(self._console, results)

    def close(self) -> None:
        return


class PlainProgress(NullProgress):
    """One line per event, for logs and pipes; lines start with `trial N`, so that grep finds a trial."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._standings = Standings()

    def search_started(self, plan: SearchFacts) -> None:
        self._standings.start(plan, at_s=0.0)
        for line in header(plan):
            self._say(line)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._standings.trial_started(number)
        self._say(f"trial {number}  started  {plain_config(config)}")

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._standings.evaluated(number, evaluation, score)
        place = f"eval {evaluation.index}/{evaluation.n_evaluations}  step {evaluation.step}"
        self._say(f"trial {number}  {place}  score {number_text(score)}  {best_text(self._standings)}")

    def trial_noted(self, number: int, note: str) -> None:
        self._say(f"trial {number}  note  {note}")

    def trial_paused(self, record: TrialRecord) -> None:
        self._standings.trial_paused(record)
        self._say(f"trial {record.number}  PAUSED  score {number_text(record.score)}  {one_line(record.reason or '')}")

    def trial_finished(self, record: TrialRecord) -> None:
        self._standings.trial_finished(record)
        reason = f"  {one_line(record.reason)}" if record.reason else ""
        told = f"score {number_text(record.score)}  {record.seconds:.1f} s  {best_text(self._standings)}"
        self._say(f"trial {record.number}  {record.state}  {told}{reason}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def plain_config(config: TrialConfig) -> str:
    """The settings that tell trials apart at a glance."""
    smart = f"eps {config.smart.epsilon:g} lambda {config.smart.lambda_:g} K {config.smart.steps}"
    told = f"{'+'.join(config.mixture)}  {config.mixing.strategy}  {config.pair_encoding}  lr {config.optim.lr:.2g}"
    return f"{told}  smart {smart if config.smart.enabled else 'off'}"


class TableProgress(NullProgress, ABC):
    """A table that follows the search in place, drawn anew at most `REFRESH_PER_S` times a second."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console)
        self._clock = clock
        self._standings = Standings()
        self._drawn_s = -float("inf")

    @abstractmethod
    def draw(self, now_s: float) -> None:
        """Show how `_standings` stand, in place of what was drawn before."""

    def search_started(self, plan: SearchFacts) -> None:
        self._standings.start(plan, self._clock())
        for line in header(plan):
            self._console.print(Text(line), soft_wrap=True)
        self._follow(at_once=True)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._standings.trial_started(number)
        self._follow()

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._standings.evaluated(number, evaluation, score)
        self._follow()

    def trial_paused(self, record: TrialRecord) -> None:
        self._standings.trial_paused(record)
        self._follow()

    def trial_finished(self, record: TrialRecord) -> None:
        self._standings.trial_finished(record)
        self._follow()

    def tick(self) -> None:
        self._follow()

    def _follow(self, at_once: bool = False) -> None:
        now = self._clock()
        if at_once or now - self._drawn_s >= 1 / REFRESH_PER_S:
            self._drawn_s = now
            self.draw(now)


class LiveProgress(TableProgress):
    """The table on a terminal; it is cleared at the end, where the summary takes its place."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        to_terminal = sys.stderr.isatty()  # what goes to a file is to stay there
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=to_terminal)
        self._size = console.size

    def draw(self, now_s: float) -> None:
        if self._console.size != self._size:
            self._clear()
        if not self._live.is_started:
            self._live.start()
        self._live.update(live_table(self._standings, now_s, self._console.height), refresh=True)

    def _clear(self) -> None:
        """Begin on an empty screen: a terminal that was resized has wrapped the old table, and nobody knows how high it is."""
        self._size = self._console.size
        self._live.stop()
        self._console.control(Control.clear(), Control.home())

    def search_finished(self, results: dict[str, Any]) -> None:
        self.close()
        super().search_finished(results)

    def close(self) -> None:
        self._live.stop()


def live_table(standings: Standings, now_s: float, height: int) -> Group:
    """The table and its two lines of totals, in at most `height` lines of at most the console's width.

    Running trials come first, then paused ones, then the last finished ones; what does not fit is left out.
    """
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("trial", "state", "eval", "step", "score", "best", "ETA"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("reason", ratio=1, no_wrap=True, overflow="ellipsis", style="dim")  # takes the width that is left
    for row in standings.visible(max(1, height - 4)):
        table.add_row(*_cells(row, standings, now_s))
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in totals(standings, now_s)))


def _cells(row: Row, standings: Standings, now_s: float) -> list[Text]:
    """The cells of one trial, as text that is never read as markup."""
    remaining = row.remaining_s if row.state == "RUNNING" else None
    cells = [
        str(row.number),
        row.state.lower(),
        f"{row.index}/{row.n_evaluations}" if row.index else "-",
        f"{row.step}/{row.n_steps}" if row.index else "-",
        number_text(row.score),
        number_text(row.best_score),
        duration(remaining) if row.state == "RUNNING" else "",
        one_line(row.reason or ""),
    ]
    texts = [Text(cell) for cell in cells]
    texts[1].stylize(STATE_STYLES[row.state])
    if standings.best and standings.best.number == row.number:
        texts[4].stylize("bold")
    return texts


def totals(standings: Standings, now_s: float) -> tuple[str, str]:
    """`12.4/40 full trials  2 running  8 pruned  1 failed` and `best 0.6410 (trial 1)  elapsed 2:05  ETA 4:10`."""
    n = standings.counts()
    trials = f"{standings.used:.1f}/{standings.n_trials} full trials  {n['RUNNING']} running  "
    trials += f"{n['PRUNED']} pruned  {n['FAIL']} failed"
    trials += f"  {n['PAUSED']} paused" if n["PAUSED"] else ""
    trials += f"  {standings.n_repeats} repeated" if standings.n_repeats else ""
    times = f"elapsed {duration(standings.elapsed_s(now_s))}  ETA {duration(standings.eta_s(now_s))}"
    return trials, f"{best_text(standings)}  {times}"
