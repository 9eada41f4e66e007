"""MLflow: one parent run per search, one child per trial, written by the driver alone.

A thread does the writes in order from a queue, so that a slow server never slows a search. Failed writes are retried, also at
the end of the search: MLflow never stops a search, and nothing is lost while the driver runs.

`listener` observes the search and queues writes; `runs` finds the run of each write and does it; `client` connects, reads and
translates to MLflow's terms; `registry` registers the champion.
"""

from tuner.tracking.mlflow.client import PAUSED_STATUS, STATUS, RunFound, as_tag, flatten, read_experiment, read_runs
from tuner.tracking.mlflow.listener import MlflowTracking

__all__ = ["PAUSED_STATUS", "STATUS", "MlflowTracking", "RunFound", "as_tag", "flatten", "read_experiment", "read_runs"]
