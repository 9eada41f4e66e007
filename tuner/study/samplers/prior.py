"""Draws around the start configurations of a space, for as long as results do not contradict them.

A start configuration of confidence c gets the share c of the first `N_DRAWS` trials, which are drawn around it
(`Space.draw_near`). Others stay random, so that there is something to compare with: nothing is drawn around a start
configuration while results contradict it, that is, while all trials at it or around it failed, or the best of them is worse
than the median of `N_OTHERS` or more trials elsewhere. A wrong one so costs three trials at most.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.space import Space
from tuner.study.samplers.ranking import rank

NEAR = "near_start"
"""User attribute of a trial that is a start configuration or drawn around one: its place in the space, from 0."""
N_DRAWS = 6
"""First trials of a search, start configurations among them, of which some are drawn around these."""
MAX_SHARE = 0.5
"""The largest share of the first draws that is made around start configurations, however many there are."""
N_OTHERS = 2
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Prior:
    """The start configurations of a space and what is drawn around them."""

    space: Space
    seed: int

    def enqueue(self, study: optuna.Study) -> bool:
        """Enqueue a draw around a start configuration where one is due. False once none will be due any more."""
        trials = study.get_trials(deepcopy=False)
        if any(trial.state is TrialState.WAITING for trial in trials):
            return True
        draw = self.next(trials)
        if draw is not None:
            point, place = draw
            study.enqueue_trial(point, user_attrs={NEAR: place})
        return draw is not None or len(trials) < N_DRAWS

    def next(self, trials: Sequence[FrozenTrial]) -> tuple[dict[str, Any], int] | None:
        """A point around a start configuration, and that one's place; None where the sampler is to draw.

        `trials` are all trials of the study, those that wait included.
        """
        if len(trials) >= N_DRAWS:
            return None
        shares = {
            place: confidence
            for place, (_, confidence) in enumerate(zip(self.space.start, self.space.confidences, strict=False))
            if confidence > 0 and not is_contradicted(place, trials)
        }
        n_near = Counter(trial.user_attrs[NEAR] for trial in trials if NEAR in trial.user_attrs)
        if not shares or n_near.total() >= min(sum(shares.values()), MAX_SHARE) * (len(trials) + 1):
            return None
        place = min(shares, key=lambda candidate: (n_near[candidate] / shares[candidate], candidate))
        rng = random.Random(f"{self.seed} near {len(trials)}")
        return self.space.draw_near(self.space.start[place], rng), place


def is_contradicted(place: int, trials: Sequence[FrozenTrial]) -> bool:
    """Whether results contradict the start configuration at this place. Under several goals only failures do."""
    near = [trial for trial in trials if trial.user_attrs.get(NEAR) == place]
    ended = [trial for trial in near if trial.state in ENDED]
    if not ended:
        return any(trial.state is TrialState.FAIL for trial in near)
    others = [trial for trial in trials if trial.user_attrs.get(NEAR) != place and trial.state in ENDED]
    if len(others) < N_OTHERS or any(len(trial.values or ()) != 1 for trial in (*ended, *others)):
        return False
    ranks = sorted(rank(trial) for trial in others)
    return min(rank(trial) for trial in ended) > ranks[(len(ranks) - 1) // 2]
