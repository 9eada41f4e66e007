"""The plan of a search: every option checked before anything starts, and all problems reported at once.

`make` runs the checks in order. It skips a check whose input has a problem itself: whether the space's configurations fit the
data and the gang is checked only when everything else is sound.
"""

from tuner.search.plan.make import make
from tuner.search.plan.plan import Plan
from tuner.search.plan.resolve import shape_of, space_of

__all__ = ["Plan", "make", "shape_of", "space_of"]
