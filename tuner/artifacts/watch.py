"""Warns when the checkpoint store is unreachable, because trials on other nodes retry without a warning."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tuner.artifacts.retry import StoreUnreachableError
from tuner.artifacts.store import Store

WATCH_S = 5.0
"""Seconds between two requests to the store."""


class Watch:
    """Holds the error that ends the search: a store that has been unreachable for too long."""

    def __init__(self) -> None:
        self._error: StoreUnreachableError | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Watch:
        return self

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its plug-ins into its snapshot, which is never read."""
        return {}

    def gone(self, error: StoreUnreachableError) -> None:
        """End the search at the next `check`."""
        self._error = error

    def check(self) -> None:
        """Raise the `StoreUnreachableError` that ends the search, if there is one."""
        if self._error is not None:
            raise self._error


@contextmanager
def watching(store: Store | None) -> Iterator[Watch]:
    """Poll the store in a thread; its retries warn once when it is unreachable and once when it can be used again."""
    watch, is_over = Watch(), threading.Event()

    def poll() -> None:
        while store is not None and not is_over.wait(WATCH_S):
            try:
                store.has(".watch")
            except StoreUnreachableError as error:
                watch.gone(error)
                return
            except OSError:  # a permanent error, which the trial that needs the store reports
                continue

    thread = threading.Thread(target=poll, name="store-watch", daemon=True)
    if store is not None:
        thread.start()
    try:
        yield watch
    finally:
        is_over.set()
