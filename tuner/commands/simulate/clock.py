"""A search under a simulated clock: slots that train, and one driver that asks and judges, one event at a time.

The decisions are those of `bridge.Bridge`: a free slot asks for a trial; each evaluation is reported in order of simulated
time; a trial that is pruned or fails frees its slot; one that ends is recorded as COMPLETE. A trial that pauses is saved and
frees its slot; it is loaded when it is promoted. A slot without a trial asks again after the next event. While the driver is
busy all slots wait, as under Tune: a trial resumes training once its evaluation is handled.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field, replace
from typing import Protocol

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.study import Suggestion, Verdict


@dataclass(frozen=True)
class Course:
    """All evaluations of a trial that is not stopped."""

    evaluations: tuple[Evaluation, ...]
    """In order; the trial fails at the first one with a metric that is NaN."""
    true_score: float
    """The last score without noise, in which regret is measured."""


class World(Protocol):
    """Learning curves for all configurations of a space."""

    @property
    def objective(self) -> Objective:
        """The objective of the scores."""

    @property
    def best(self) -> float:
        """The highest true score of any configuration."""

    def course(self, config: TrialConfig) -> Course:
        """The course of a configuration's trial; deterministic."""


class Decisions(Protocol):
    """The decisions of a search: the part of `Study` that a simulation uses."""

    def ask(self) -> Suggestion | None:
        """The next trial, or a paused one that is promoted; None if there is none at this moment."""

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """The verdict on a trial after an evaluation."""

    def release(self, number: int) -> None:
        """A paused trial is saved and holds no slot: it may be promoted."""

    def complete(self, number: int) -> None:
        """A trial has reached its last evaluation."""


@dataclass(frozen=True)
class Charges:
    """Seconds that the clock adds to training; defaults as measured with Ray on two cores."""

    cold_s: float = 12.0
    """From asking to the first step on a slot without processes: at its first trial, and after a failed one."""
    warm_s: float = 0.8
    """The same with the processes of the previous trial."""
    prune_s: float = 1.0
    """From the verdict on a trial to its slot being free."""
    save_s: float = 2.0
    """Added for a trial that pauses, whose state is written. This and the next are assumptions for a model and AdamW's two
    moments of about 1 GB."""
    load_s: float = 2.0
    """Added to the start of a promoted trial."""
    report_s: float = 0.01
    """The driver's time for one evaluation."""
    ask_s: float = 0.02
    """The driver's time for one configuration, sampler included."""
    ask_growth_s: float = 0.0
    """Added to that by each trial in the study."""


@dataclass(frozen=True)
class Ended:
    """A trial that ran to its end."""

    at_s: float
    """Simulated time of its end."""
    score: float
    """As reported, by which the search ranks."""
    true_score: float


@dataclass
class Log:
    """The events of a simulated search."""

    ended: list[Ended] = field(default_factory=list)
    """COMPLETE trials in order of time."""
    n_pruned: int = 0
    """Includes trials that paused and were never promoted."""
    n_promoted: int = 0
    """Promotions of paused trials."""
    n_failed: int = 0
    n_cut: int = 0
    """Trials that were running when time was up."""
    busy_s: float = 0.0
    """Slot seconds of all trials, from asking to being free again."""
    end_s: float = 0.0
    """When the last slot became free for good."""


@dataclass
class _Running:
    number: int
    course: Course
    since_s: float
    n_reported: int = 0

    @property
    def next_s(self) -> float:
        """Seconds of training and evaluation to its next evaluation."""
        done = self.course.evaluations[self.n_reported - 1].seconds if self.n_reported else 0.0
        return self.course.evaluations[self.n_reported].seconds - done


@dataclass
class _Search:
    """The state of one simulated search."""

    decisions: Decisions
    world: World
    charges: Charges
    log: Log = field(default_factory=Log)
    events: list[tuple[float, int, int, _Running | None]] = field(default_factory=list)
    """Time, running number, slot, and the trial whose evaluation is due; None for a free slot."""
    cold: set[int] = field(default_factory=set)
    """Slots without processes."""
    idle: set[int] = field(default_factory=set)
    """Slots that got no trial."""
    paused: dict[int, _Running] = field(default_factory=dict)
    """By number; a promoted trial continues from there."""
    pausing: dict[int, int] = field(default_factory=dict)
    """By slot: the trial that is being saved."""
    driver_free_s: float = 0.0
    n_asked: int = 0
    n_events: int = 0

    def at(self, time_s: float, slot: int, running: _Running | None) -> None:
        """Schedule an event."""
        self.n_events += 1
        heapq.heappush(self.events, (time_s, self.n_events, slot, running))

    def ask(self, now_s: float, slot: int) -> None:
        """Start the next trial, or a promoted one, on a free slot."""
        if slot in self.pausing:
            self.decisions.release(self.pausing.pop(slot))
        suggestion = self.decisions.ask()
        if suggestion is None:
            self.idle.add(slot)
            return
        self.driver_free_s = now_s + self.charges.ask_s + self.charges.ask_growth_s * self.n_asked
        setup_s = self.charges.cold_s if slot in self.cold else self.charges.warm_s
        self.cold.discard(slot)
        if suggestion.number in self.paused:
            running = replace(self.paused.pop(suggestion.number), since_s=now_s)
            self.log.n_promoted += 1
            setup_s += self.charges.load_s
        else:
            running = _Running(suggestion.number, self.world.course(suggestion.config), now_s)
            self.n_asked += 1
        self.at(self.driver_free_s + setup_s + running.next_s, slot, running)

    def report(self, now_s: float, slot: int, running: _Running) -> None:
        """Report an evaluation to the study and apply its verdict."""
        evaluation = running.course.evaluations[running.n_reported]
        running.n_reported += 1
        verdict = self.decisions.report(running.number, evaluation)
        self.driver_free_s = now_s + self.charges.report_s
        if verdict is Verdict.CONTINUE and not evaluation.is_last:
            self.at(self.driver_free_s + running.next_s, slot, running)
            self.wake(self.driver_free_s)
            return
        free_s = self.driver_free_s
        if verdict is Verdict.CONTINUE:
            self.decisions.complete(running.number)
            self.log.ended.append(Ended(free_s, self.world.objective.score(evaluation.metrics), running.course.true_score))
        else:
            free_s += self.charges.prune_s
            if verdict is Verdict.PRUNE:
                self.log.n_pruned += 1
            elif verdict is Verdict.PAUSE:
                self.paused[running.number] = running
                self.pausing[slot] = running.number
                free_s += self.charges.save_s
            else:
                self.log.n_failed += 1
                self.cold.add(slot)
        self.log.busy_s += free_s - running.since_s
        self.log.end_s = max(self.log.end_s, free_s)
        self.at(free_s, slot, None)
        self.wake(free_s)

    def wake(self, at_s: float) -> None:
        """Let idle slots ask again: an early end leaves budget, and a paused trial may be promoted."""
        for slot in sorted(self.idle):
            self.at(at_s, slot, None)
        self.idle.clear()

    def cut(self, now_s: float) -> None:
        """End the search: running trials are charged and discarded."""
        running = [trial for _, _, _, trial in self.events if trial is not None]
        self.log.n_cut = len(running)
        self.log.busy_s += sum(now_s - trial.since_s for trial in running)
        self.log.end_s = now_s


def play(decisions: Decisions, world: World, n_slots: int, charges: Charges, until_s: float = math.inf) -> Log:
    """Run a search on `n_slots` slots until it asks for no more trials, or until time is up."""
    search = _Search(decisions, world, charges, cold=set(range(n_slots)))
    for slot in range(n_slots):
        search.at(0.0, slot, None)
    while search.events:
        time_s, _, slot, running = search.events[0]
        now_s = max(time_s, search.driver_free_s)
        if now_s >= until_s:
            search.cut(until_s)
            break
        heapq.heappop(search.events)
        if running is None:
            search.ask(now_s, slot)
        else:
            search.report(now_s, slot, running)
    search.log.n_pruned += len(search.paused)
    return search.log
