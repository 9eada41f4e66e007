"""Every option of a search, checked before anything starts, and all problems told at once.

`planning` makes a `Plan` in the order of its checks. A check is left out where what it needs has a problem of its own: whether
the space's configurations fit data and gang is known only when all else is sound.
"""

from tuner.search.plan.make import make
from tuner.search.plan.plan import Plan
from tuner.search.plan.resolve import shape_of, space_of

__all__ = ["Plan", "make", "shape_of", "space_of"]
