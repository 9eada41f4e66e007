"""Search spaces: YAML files of `search_spaces/`, checked against `TrialConfig` before anything starts."""

from tuner.space.load import available, load
from tuner.space.space import GRID_LIMIT, Space
from tuner.space.void import void_notes

__all__ = ["GRID_LIMIT", "Space", "available", "load", "void_notes"]
