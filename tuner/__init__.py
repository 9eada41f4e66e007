"""The search: one Optuna study, run by Ray Tune, tracked in MLflow.

`python -m tuner.search --help` in a shell, `from tuner import search` in Python: importing loads no library that takes seconds.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time `tuner.search` is the package of that name, which can be called
    from tuner.search import search

    __all__ = ["search"]
