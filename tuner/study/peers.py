"""With whom a trial is compared by rank: what the others had at equal steps, or within equal compute (rungs.py).

A trial is put to the pruner with the evaluation in question as its last, whether that is stored already or not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable

from optuna.trial import FrozenTrial, TrialState

from tuner.study.fronts import Fronts, Vector
from tuner.study.repeats import SAME_AS
from tuner.study.rungs import Curve
from tuner.study.sample import Sample

CurveOf = Callable[[FrozenTrial], Curve[Vector]]
"""Compute and goals of each evaluation of a trial, in order; more is better."""


class Peers(ABC):
    """`complete` are the others that are COMPLETE; `arrived` are all that came as far, whatever became of them.

    Repeats are not among the latter: they did not come there themselves.
    """

    def __init__(self, curve_of: CurveOf) -> None:
        self.curve_of = curve_of
        self.n_complete = 0

    def restart(self, trials: Iterable[FrozenTrial]) -> None:
        """Forget everything and read all trials of the study."""
        self.n_complete = sum(trial.state is TrialState.COMPLETE for trial in trials)

    def reported(self, trial: FrozenTrial) -> None:
        """Hear that an evaluation was stored, the last that this trial has."""
        return

    def completed(self, trial: FrozenTrial) -> None:
        """Hear that a trial has become COMPLETE."""
        self.n_complete += 1

    @abstractmethod
    def complete(self, trial: FrozenTrial) -> Fronts:
        """What the COMPLETE trials had where this one is."""

    @abstractmethod
    def arrived(self, trial: FrozenTrial) -> Fronts:
        """What all trials had that came to where this one is, itself included."""


class AtEqualSteps(Peers):
    """Running statistics by the index of the evaluation, read once when a study is opened."""

    def restart(self, trials: Iterable[FrozenTrial]) -> None:
        complete: defaultdict[int, list[Vector]] = defaultdict(list)
        arrived: defaultdict[int, list[Vector]] = defaultdict(list)
        trials = list(trials)
        super().restart(trials)
        for trial in trials:
            for index, (_, vector) in enumerate(self.curve_of(trial), start=1):
                if SAME_AS not in trial.user_attrs:
                    arrived[index].append(vector)
                if trial.state is TrialState.COMPLETE:
                    complete[index].append(vector)
        self._complete = {index: Fronts(vectors) for index, vectors in complete.items()}
        self._arrived = {index: Fronts(vectors) for index, vectors in arrived.items()}

    def completed(self, trial: FrozenTrial) -> None:
        super().completed(trial)
        for index, (_, vector) in enumerate(self.curve_of(trial), start=1):
            self._complete.setdefault(index, Fronts()).add(vector)

    def complete(self, trial: FrozenTrial) -> Fronts:
        return self._complete.get(len(self.curve_of(trial)), Fronts())

    def arrived(self, trial: FrozenTrial) -> Fronts:
        curve = self.curve_of(trial)
        rung = self._arrived.setdefault(len(curve), Fronts())
        rung.add(curve[-1][1])
        return rung


class AtEqualCompute(Peers):
    """A sample of the others (sample.py), since each trial stands elsewhere."""

    def restart(self, trials: Iterable[FrozenTrial]) -> None:
        trials = list(trials)
        super().restart(trials)
        self._complete: Sample[Vector] = Sample()
        self._arrived: Sample[Vector] = Sample()
        for trial in trials:
            curve, is_complete = self.curve_of(trial), trial.state is TrialState.COMPLETE
            if SAME_AS not in trial.user_attrs:
                self._arrived.put(trial.number, curve, is_complete=is_complete)
            if is_complete:
                self._complete.put(trial.number, curve, is_complete=True)

    def reported(self, trial: FrozenTrial) -> None:
        self._arrived.put(trial.number, self.curve_of(trial), is_complete=False)

    def completed(self, trial: FrozenTrial) -> None:
        super().completed(trial)
        self._complete.put(trial.number, self.curve_of(trial), is_complete=True)
        if trial.number in self._arrived:
            self._arrived.put(trial.number, self.curve_of(trial), is_complete=True)

    def complete(self, trial: FrozenTrial) -> Fronts:
        compute, _ = self.curve_of(trial)[-1]
        return Fronts(self._complete.within(compute))

    def arrived(self, trial: FrozenTrial) -> Fronts:
        compute, own = self.curve_of(trial)[-1]
        return Fronts([*self._arrived.within(compute, but=trial.number), own])


PEERS: dict[str, type[Peers]] = {"steps": AtEqualSteps, "compute": AtEqualCompute}
"""By the name of the rung resource."""
