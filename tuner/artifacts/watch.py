"""Somebody who tells the user when the store is away: trials on other nodes wait for it without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tuner.artifacts.retry import StoreAwayError
from tuner.artifacts.store import Store

WATCH_S = 5.0
"""Between two looks at the store."""


class Watch:
    """Holds what ends the search: a store that did not come back."""

    def __init__(self) -> None:
        self._gone: StoreAwayError | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Watch:
        return self

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its plug-ins into its own snapshot, which nobody reads."""
        return {}

    def gone(self, error: StoreAwayError) -> None:
        """The store is given up."""
        self._gone = error

    def check(self) -> None:
        """Raise the `StoreAwayError` that ends the search, if there is one."""
        if self._gone is not None:
            raise self._gone


@contextmanager
def watching(store: Store | None) -> Iterator[Watch]:
    """Look at the store now and then, in a thread of its own, and say once when it is away and when it is back."""
    watch, over = Watch(), threading.Event()

    def look() -> None:
        while store is not None and not over.wait(WATCH_S):
            try:
                store.has(".watch")
            except StoreAwayError as error:
                watch.gone(error)
                return
            except OSError:  # refused: whoever needs the store says why
                continue

    thread = threading.Thread(target=look, name="store-watch", daemon=True)
    if store is not None:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
