"""The one Optuna study of a search: the only owner of sampling, of pruning and of the states of trials.

Everything about a trial is in the study's storage, so its records are the same in another process, also after a kill.
All calls come from the driver's one thread.
"""

from tuner.study.importance import Importance, Weight, read_importance
from tuner.study.pruners.table import PROMOTING, PRUNERS
from tuner.study.pruners.vectors import pruner_problems
from tuner.study.read import read_records
from tuner.study.samplers.table import CONSTRAINED, REMEMBERING, SAMPLERS, SINGLE_GOAL
from tuner.study.storage import probe
from tuner.study.study import Study
from tuner.study.verdict import Asked, Verdict

__all__ = [
    "CONSTRAINED",
    "PROMOTING",
    "PRUNERS",
    "REMEMBERING",
    "SAMPLERS",
    "SINGLE_GOAL",
    "Asked",
    "Importance",
    "Study",
    "Verdict",
    "Weight",
    "probe",
    "pruner_problems",
    "read_importance",
    "read_records",
]
