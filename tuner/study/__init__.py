"""The one Optuna study of a search: the only owner of sampling, of pruning and of the states of trials.

Everything about a trial is in the study's storage, so its records are the same in another process, also after a kill.
All calls come from the driver's one thread.
"""

from tuner.study.importance import Importance, Weight, read_importance
from tuner.study.pruners import PRUNERS, pruner_problems
from tuner.study.records import Suggestion, Verdict, load_study, read_records
from tuner.study.samplers import SAMPLERS
from tuner.study.storage import probe
from tuner.study.study import Study

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Importance",
    "Study",
    "Suggestion",
    "Verdict",
    "Weight",
    "load_study",
    "probe",
    "pruner_problems",
    "read_importance",
    "read_records",
]
