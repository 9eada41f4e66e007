"""MLflow: one parent run per search, one child per trial, written by the driver alone.

Writes are put in a queue and done in order by a thread of its own, so that a slow server never slows a search. When it is away,
they wait and are tried again, at the end too: MLflow never stops a search, and nothing is lost while the driver lives.

`tracking` hears the search and puts `writes` into the queue, in MLflow's `words`; `runs` knows which run each belongs to;
`store` connects; `read` tells what is there.
"""

from tuner.tracking.mlflow.listener import MlflowTracking
from tuner.tracking.mlflow.names import PAUSED_STATUS, STATUS, as_tag, flatten
from tuner.tracking.mlflow.read import RunFound, read_experiment, read_runs

__all__ = ["PAUSED_STATUS", "STATUS", "MlflowTracking", "RunFound", "as_tag", "flatten", "read_experiment", "read_runs"]
