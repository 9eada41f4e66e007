"""The one Optuna study of a search: the only owner of sampling, of pruning and of the states of trials.

Everything about a trial is in the study's storage, so its records are the same in another process, also after a kill.
All calls come from the driver's one thread.
"""

from tuner.study.pruners import PRUNERS
from tuner.study.reading import read_records
from tuner.study.rungs import RESOURCES
from tuner.study.samplers import CONSTRAINED, REMEMBERING, SAMPLERS, SINGLE_GOAL
from tuner.study.standing import pruner_problems
from tuner.study.study import Asked, Study, Verdict

__all__ = [
    "CONSTRAINED",
    "PRUNERS",
    "REMEMBERING",
    "RESOURCES",
    "SAMPLERS",
    "SINGLE_GOAL",
    "Asked",
    "Study",
    "Verdict",
    "pruner_problems",
    "read_records",
]
