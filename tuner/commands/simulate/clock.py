"""A search under a simulated clock: slots that train, and one driver that asks and judges, one thing after another.

The decisions are those of `bridge.Bridge`: a free slot asks; each evaluation is reported in order of simulated time; a trial
that is pruned or fails gives its slot back; one that ends is told COMPLETE. One that pauses is saved and gives its slot back;
it is loaded where it is promoted. A slot that finds nothing to do asks again when anything has happened. While the driver is
busy everybody else waits, as under Tune: a trial trains on once its evaluation is dealt with.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field, replace
from typing import Protocol

from model.training.evaluation import Evaluation
from tuner.commands.simulate.world import Course, World
from tuner.study import Suggestion, Verdict


class Decisions(Protocol):
    """What a search decides: the part of `Study` that a simulation drives."""

    def ask(self) -> Suggestion | None: ...

    def report(self, number: int, evaluation: Evaluation) -> Verdict: ...

    def release(self, number: int) -> None: ...

    def complete(self, number: int) -> None: ...


@dataclass(frozen=True)
class Charges:
    """What the clock charges besides training, in seconds; defaults as measured with Ray on two cores."""

    cold_s: float = 12.0
    """From asking to the first step where the slot has no processes yet, or a failed trial has taken them along."""
    warm_s: float = 0.8
    """The same with the processes of the trial before."""
    prune_s: float = 1.0
    """From the verdict on a trial to its slot being free."""
    save_s: float = 2.0
    """What a trial that pauses adds to that: its state is written. An assumption, for a model and AdamW's two moments of about
    1 GB; so is the next."""
    load_s: float = 2.0
    """What a promoted trial adds to its start."""
    report_s: float = 0.01
    """The driver's work on one evaluation."""
    ask_s: float = 0.02
    """The driver's work on one configuration, sampler included."""
    ask_growth_s: float = 0.0
    """What one more trial in the study adds to that."""

    def asking_s(self, n_asked: int) -> float:
        return self.ask_s + self.ask_growth_s * n_asked


@dataclass(frozen=True)
class Ended:
    """A trial that ran to its end."""

    at_s: float
    score: float
    """As reported: what the search ranks by."""
    true_score: float


@dataclass
class Log:
    """What happened."""

    ended: list[Ended] = field(default_factory=list)
    """COMPLETE trials in order of time."""
    n_pruned: int = 0
    """Those that paused and were never promoted are among them."""
    n_promoted: int = 0
    """How often a paused trial went on."""
    n_failed: int = 0
    n_cut: int = 0
    """Trials that were running when time was up."""
    busy_s: float = 0.0
    """Seconds of slots, over all trials, from asking to being free again."""
    end_s: float = 0.0
    """When the last slot was free for good."""


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
    """When, a running number, the slot, and the trial whose evaluation is due; None for a free slot."""
    cold: set[int] = field(default_factory=set)
    """Slots without processes."""
    idle: set[int] = field(default_factory=set)
    """Slots that found nothing to do."""
    paused: dict[int, _Running] = field(default_factory=dict)
    """By number; a trial that is promoted goes on where it was."""
    pausing: dict[int, int] = field(default_factory=dict)
    """The trial that a slot is about to be free of, by slot."""
    driver_free_s: float = 0.0
    n_asked: int = 0
    n_events: int = 0

    def at(self, time_s: float, slot: int, running: _Running | None) -> None:
        self.n_events += 1
        heapq.heappush(self.events, (time_s, self.n_events, slot, running))

    def ask(self, now_s: float, slot: int) -> None:
        """Start the next trial on a free slot, or go on with a promoted one, if there is any."""
        if slot in self.pausing:
            self.decisions.release(self.pausing.pop(slot))
        asked = self.decisions.ask()
        if asked is None:
            self.idle.add(slot)
            return
        self.driver_free_s = now_s + self.charges.asking_s(self.n_asked)
        setup_s = self.charges.cold_s if slot in self.cold else self.charges.warm_s
        self.cold.discard(slot)
        if asked.number in self.paused:
            running = replace(self.paused.pop(asked.number), since_s=now_s)
            self.log.n_promoted += 1
            setup_s += self.charges.load_s
        else:
            running = _Running(asked.number, self.world.course(asked.config), now_s)
            self.n_asked += 1
        self.at(self.driver_free_s + setup_s + running.next_s, slot, running)

    def report(self, now_s: float, slot: int, running: _Running) -> None:
        """Put an evaluation to the study and do what it says."""
        evaluation = running.course.evaluations[running.n_reported]
        running.n_reported += 1
        verdict = self.decisions.report(running.number, evaluation)
        self.driver_free_s = now_s + self.charges.report_s
        if verdict is Verdict.CONTINUE and not evaluation.is_last:
            self.at(self.driver_free_s + running.next_s, slot, running)
            self.wake(self.driver_free_s)
            return
        if verdict is Verdict.CONTINUE:
            self._complete(running, evaluation)
        elif verdict is Verdict.PRUNE:
            self.log.n_pruned += 1
        elif verdict is Verdict.PAUSE:
            self.paused[running.number] = running
            self.pausing[slot] = running.number
        else:
            self.log.n_failed += 1
            self.cold.add(slot)
        free_s = self.driver_free_s + (0.0 if verdict is Verdict.CONTINUE else self.charges.prune_s)
        free_s += self.charges.save_s if verdict is Verdict.PAUSE else 0.0
        self.log.busy_s += free_s - running.since_s
        self.log.end_s = max(self.log.end_s, free_s)
        self.at(free_s, slot, None)
        self.wake(free_s)

    def wake(self, at_s: float) -> None:
        """Let idle slots ask again: a trial that ended early leaves room in the budget, and a paused one may be promoted."""
        for slot in sorted(self.idle):
            self.at(at_s, slot, None)
        self.idle.clear()

    def cut(self, now_s: float) -> None:
        """Time is up: what runs is charged for and thrown away."""
        running = [trial for _, _, _, trial in self.events if trial is not None]
        self.log.n_cut = len(running)
        self.log.busy_s += sum(now_s - trial.since_s for trial in running)
        self.log.end_s = now_s

    def _complete(self, running: _Running, last: Evaluation) -> None:
        self.decisions.complete(running.number)
        self.log.ended.append(Ended(self.driver_free_s, self.world.objective.score(last.metrics), running.course.true_score))


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
