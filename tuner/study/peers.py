"""With whom a trial is compared by rank: what the others had at equal steps, or within equal compute (rungs.py).

A trial is put to the pruner with the evaluation in question as its last, whether that is stored already or not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from tuner.study.fronts import Fronts, Vector
from tuner.study.repeats import SAME_AS
from tuner.study.rungs import score_within

Curve = Sequence[tuple[float, Vector]]
"""Compute and goals of each evaluation of a trial, in order; more is better."""
CurveOf = Callable[[FrozenTrial], Curve]


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

    def completed(self, trial: FrozenTrial) -> None:
        """Hear that a trial has become COMPLETE."""
        self.n_complete += 1

    @abstractmethod
    def complete(self, study: Study, trial: FrozenTrial) -> Fronts:
        """What the COMPLETE trials had where this one is."""

    @abstractmethod
    def arrived(self, study: Study, trial: FrozenTrial) -> Fronts:
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

    def complete(self, study: Study, trial: FrozenTrial) -> Fronts:
        return self._complete.get(len(self.curve_of(trial)), Fronts())

    def arrived(self, study: Study, trial: FrozenTrial) -> Fronts:
        curve = self.curve_of(trial)
        rung = self._arrived.setdefault(len(curve), Fronts())
        rung.add(curve[-1][1])
        return rung


class AtEqualCompute(Peers):
    """Reads the study at every judgement, since each trial stands elsewhere; curves of finished trials are kept."""

    def restart(self, trials: Iterable[FrozenTrial]) -> None:
        trials = list(trials)
        super().restart(trials)
        self._curves: dict[int, Curve] = {}

    def complete(self, study: Study, trial: FrozenTrial) -> Fronts:
        return Fronts(self._within(study, trial, (TrialState.COMPLETE,)))

    def arrived(self, study: Study, trial: FrozenTrial) -> Fronts:
        return Fronts([*self._within(study, trial, None), self.curve_of(trial)[-1][1]])

    def _within(self, study: Study, trial: FrozenTrial, states: tuple[TrialState, ...] | None) -> list[Vector]:
        """The last vector of each other trial within this one's compute."""
        compute = self.curve_of(trial)[-1][0]
        others = [other for other in study.get_trials(deepcopy=False, states=states) if other.number != trial.number]
        if states is None:
            others = [other for other in others if SAME_AS not in other.user_attrs]
        found = (score_within(self._curve(other), compute, is_complete=other.state is TrialState.COMPLETE) for other in others)
        return [vector for vector in found if vector is not None]

    def _curve(self, trial: FrozenTrial) -> Curve:
        if not trial.state.is_finished():
            return self.curve_of(trial)
        if trial.number not in self._curves:
            self._curves[trial.number] = self.curve_of(trial)
        return self._curves[trial.number]


PEERS: dict[str, type[Peers]] = {"steps": AtEqualSteps, "compute": AtEqualCompute}
"""By the name of the rung resource."""
