"""The one Optuna study of a search: the only owner of sampling, of pruning and of the states of trials.

Everything about a trial is in the study's storage, so its records are the same in another process, also after a kill.
All calls come from the driver's one thread.
"""

from tuner.record import INTERRUPTED
from tuner.study.pruners import PRUNERS
from tuner.study.rungs import RESOURCES
from tuner.study.samplers import SAMPLERS
from tuner.study.study import Asked, Study, Verdict

__all__ = ["INTERRUPTED", "PRUNERS", "RESOURCES", "SAMPLERS", "Asked", "Study", "Verdict"]
