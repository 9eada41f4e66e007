"""Features of frozen encoders, shared by all trials of a search: computed once and kept in the object store.

The first rank that needs some computes them on its own device, and the others wait. The shelf owns them, so they outlive the
rank.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

POLL_S = 0.5


class Shelf:
    """An actor that keeps references to features by key, and knows which ranks are computing others."""

    def __init__(self) -> None:
        self._features: dict[str, list[Any]] = {}
        """One-element lists with a reference: Ray passes a reference in a list on without fetching its object."""
        self._makers: dict[str, Any] = {}
        """By key, a reference that is ready when the computing rank has ended its call or died."""

    async def claim(self, key: str, maker: list[Any]) -> list[Any] | None:
        """The features' reference, in a list; or None where the caller must compute them.

        `maker` is a list with a reference that is ready when the caller has ended its present call or died.
        """
        while key not in self._features:
            call = self._makers.get(key)
            if call is None or (await asyncio.wait([asyncio.wrap_future(call.future())], timeout=0.01))[0]:
                self._makers[key] = maker[0]
                return None
            await asyncio.sleep(POLL_S)
        return self._features[key]

    def put(self, key: str, features: Any) -> None:
        """Keep features in an object of the shelf; one of the rank would be lost with the rank."""
        self._features[key] = [ray.put(features)]
        self._makers.pop(key, None)


def open_shelf() -> Any:
    """The handle of a new shelf on the driver's node, which lives as long as the handle."""
    return ray.remote(Shelf).options(num_cpus=0).remote()


def shared(shelf: Any, key: str, compute: Callable[[], Any]) -> Any:
    """The features `key` from the shelf, else the result of `compute()`. Call it in an actor with a method `idle`."""
    try:
        end_of_call = ray.get_runtime_context().current_actor.idle.remote()  # runs after the present call
        reference = ray.get(shelf.claim.remote(key, [end_of_call]))
        if reference is not None:
            return ray.get(reference[0])
        features = compute()
        ray.get(shelf.put.remote(key, features))
    except RayError:  # the shelf only saves time
        return compute()
    return features
