"""Features of frozen encoders, shared by all trials of a search: computed once, kept in the object store.

The first rank that asks for some computes them, on its own device; whoever asks meanwhile waits. The shelf keeps them, so they
outlive the rank.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

POLL_S = 0.5


class Shelf:
    """An actor that knows which features there are, by key, and who is computing others."""

    def __init__(self) -> None:
        self._there: dict[str, list[Any]] = {}
        """One-element lists with a reference, so that it is handed on and not fetched."""
        self._makers: dict[str, Any] = {}
        """The end of the call in which a rank computes them."""

    async def claim(self, key: str, maker: list[Any]) -> list[Any] | None:
        """The features' reference, in a list, or None where the caller is to compute them, as `maker` from then on.

        `maker` holds a reference that is ready when the caller has ended what it does, or has died.
        """
        while key not in self._there:
            if key not in self._makers or await _has_ended(self._makers[key]):
                self._makers[key] = maker[0]
                return None
            await asyncio.sleep(POLL_S)
        return self._there[key]

    def put(self, key: str, features: Any) -> None:
        self._there[key] = [ray.put(features)]  # its own: what a rank puts there dies with the rank
        self._makers.pop(key, None)


async def _has_ended(call: Any) -> bool:
    """Whether a call has come to its end, good or bad."""
    done, _ = await asyncio.wait([asyncio.wrap_future(call.future())], timeout=0.01)
    return bool(done)


def open_shelf() -> Any:
    """A new shelf, on the driver's node. It lives as long as its handle."""
    return ray.remote(Shelf).options(num_cpus=0).remote()


def shared(shelf: Any, key: str, compute: Callable[[], Any]) -> Any:
    """What `compute()` gives, from the shelf where it is there. For actors with a method `idle`."""
    try:
        after_this = ray.get_runtime_context().current_actor.idle.remote()  # runs when the present call has ended
        found = ray.get(shelf.claim.remote(key, [after_this]))
        if found is not None:
            return ray.get(found[0])
        made = compute()
        ray.get(shelf.put.remote(key, made))
    except RayError:  # features are a saving: without the shelf a rank computes its own
        return compute()
    return made
