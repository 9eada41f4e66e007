"""What a search shows while it runs: a live table on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from model.config import TrialConfig
from model.evaluation import Evaluation
from tuner.addresses import mask_credentials
from tuner.observer import Observer, SearchFacts, SilentObserver
from tuner.record import TrialRecord
from tuner.results import finite
from tuner.standings import Row, Standings
from tuner.summary import GENERATED_NOTE, controls_text, duration, number_text, one_line, print_summary

REFRESH_PER_S = 2.0
FILE_WIDTH = 160
"""Columns of the summary where there is no terminal to fit."""
STATE_STYLES = {"RUNNING": "cyan", "COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


def header(plan: SearchFacts) -> list[str]:
    """Lines that say what is searched, on what, and where it goes."""
    lines = [
        f"search {plan.name}: space {plan.space} ({plan.profile}), {plan.n_trials} trials, {plan.max_concurrent} at once",
        f"sampler {plan.sampler}, pruner {plan.pruner}, {plan.n_evaluations} evaluations per trial, score: {plan.metric}",
        f"data {plan.data_source}: {plan.data_summary}",
        f"results {plan.run_dir}",
    ]
    if plan.requirements:
        lines.insert(2, f"required: {', '.join(plan.requirements)}{controls_text(plan.controls)}")
    if plan.budget != "none":
        lines.insert(1, f"budget {plan.budget}")
    if plan.is_generated:
        lines.insert(-1, GENERATED_NOTE)
    if plan.dashboard_url:
        lines.append(f"Ray dashboard {plan.dashboard_url}")
    if plan.finished:
        lines.append(f"resumed: {len(plan.finished)} trials were finished earlier")
    if plan.unfinished:
        lines.append(f"resumed: {len(plan.unfinished)} trials were begun earlier and go on")
    return lines


def best_text(standings: Standings) -> str:
    """`best 0.6410 (trial 1)`, or `best -` before the first complete trial."""
    best = standings.best
    if best is None:
        return "best -"
    missed = f", misses the requirements by {number_text(best.shortfall)}" if best.shortfall else ""
    return f"best {number_text(best.score)} (trial {best.number}{missed})"


class NullProgress(SilentObserver):
    """`--quiet`: the final summary and nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def search_finished(self, results: dict[str, Any]) -> None:
        print_summary(self._console, results)


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


class JsonProgress(SilentObserver):
    """`--json`: one JSON object per event and line, and nothing else on the stream. NaN and infinity become null."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def search_started(self, plan: SearchFacts) -> None:
        names = [field.name for field in fields(plan) if field.name not in ("finished", "unfinished")]
        facts = {name: getattr(plan, name) for name in names} | {"n_unfinished": len(plan.unfinished)}
        facts["tracking_uri"] = mask_credentials(plan.tracking_uri)
        self._emit("search_started", **facts | {"run_dir": str(plan.run_dir), "n_finished": len(plan.finished)})

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._emit("trial_started", number=number, config=config.to_dict())

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._emit("evaluated", number=number, score=score, **evaluation.to_dict())

    def trial_noted(self, number: int, note: str) -> None:
        self._emit("trial_noted", number=number, note=note)

    def trial_finished(self, record: TrialRecord) -> None:
        names = ("number", "state", "score", "metrics", "requirements", "seconds", "reason", "note")
        self._emit("trial_finished", **{name: getattr(record, name) for name in names})

    def search_finished(self, results: dict[str, Any]) -> None:
        self._emit("search_finished", results=results)

    def _emit(self, event: str, **values: Any) -> None:
        line = json.dumps(finite({"event": event} | values), ensure_ascii=False, allow_nan=False)
        self._stream.write(f"{line}\n")
        self._stream.flush()


class LiveProgress(NullProgress):
    """A table that follows the search in place; it is cleared at the end, where the summary takes its place."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console)
        self._clock = clock
        self._standings = Standings()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_s = -float("inf")

    def search_started(self, plan: SearchFacts) -> None:
        self._standings.start(plan, self._clock())
        for line in header(plan):
            self._console.print(Text(line))
        atexit.register(self._live.stop)  # a crash must not leave the terminal without its cursor
        self._live.start()
        self._draw(at_once=True)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._standings.trial_started(number)
        self._draw()

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._standings.evaluated(number, evaluation, score)
        self._draw()

    def trial_finished(self, record: TrialRecord) -> None:
        self._standings.trial_finished(record)
        self._draw()

    def search_finished(self, results: dict[str, Any]) -> None:
        self._live.stop()
        super().search_finished(results)

    def tick(self) -> None:
        self._draw()

    def _draw(self, at_once: bool = False) -> None:
        now = self._clock()
        if at_once or now - self._drawn_s >= 1 / REFRESH_PER_S:
            self._drawn_s = now
            self._live.update(live_table(self._standings, now, self._console.height), refresh=True)


def live_table(standings: Standings, now_s: float, height: int) -> Group:
    """The table and its two lines of totals, in at most `height` lines of at most the console's width.

    Running trials come first, then the last finished ones; what does not fit is left out.
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
    """`12/40 done  2 running  3 pruned  1 failed` and `best 0.6410 (trial 1)  elapsed 2:05  ETA 4:10`."""
    n = standings.counts()
    finished = n["COMPLETE"] + n["PRUNED"] + n["FAIL"]
    trials = f"{finished}/{standings.n_trials} done  {n['RUNNING']} running  {n['PRUNED']} pruned  {n['FAIL']} failed"
    trials += f"  {standings.n_repeats} repeated" if standings.n_repeats else ""
    times = f"elapsed {duration(standings.elapsed_s(now_s))}  ETA {duration(standings.eta_s(now_s))}"
    return trials, f"{best_text(standings)}  {times}"


def make_progress(quiet: bool, json: bool, stream: IO[str]) -> Observer:
    """The observer that suits the options and the stream. rich respects NO_COLOR; a dumb terminal gets plain lines."""
    if json:
        return JsonProgress(stream)
    console = Console(file=stream)
    if not console.is_terminal:
        console = Console(file=stream, width=FILE_WIDTH)
    if quiet:
        return NullProgress(console)
    return LiveProgress(console) if console.is_terminal and not console.is_dumb_terminal else PlainProgress(console)
