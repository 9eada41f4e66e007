"""How many trials may run at once."""

from __future__ import annotations

from collections.abc import Callable

from cluster.shape import GangShape
from model.config import ConfigError


def slots(shape: GangShape, most: int | None) -> Callable[[], int]:
    """Counts the trials that fit, at most `most`, anew each time: the cluster may have grown.

    Raises `ConfigError` when not even one fits.
    """
    from cluster import connect

    def count() -> int:
        fitting = shape.slots_of(connect.nodes())
        return fitting if most is None else min(fitting, most)

    if count() < 1:
        there = ", ".join(node.describe() for node in connect.nodes())
        raise ConfigError(
            [
                f"a trial asks for {shape.describe()}, which the cluster can never give: {there}; "
                "lower --workers-per-trial, --cpus-per-worker or --gpus-per-worker"
            ]
        )
    return count
