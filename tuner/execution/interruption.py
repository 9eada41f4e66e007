"""Ctrl-C and SIGTERM: the first one stops a search cleanly, a later one at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER_S = 1.0
"""Seconds within which signals count as one: `timeout` sends SIGTERM to the process and to its group."""


class Interruption:
    """Whether the user has interrupted the search."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within this context the first signal sets `requested`; a later one has its usual effect.

        Python handles signals in the main thread only; in another thread this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        requested_at = 0.0

        def on_signal(number: int, frame: Any) -> None:
            nonlocal requested_at
            if not self.requested:
                self.requested = True
                requested_at = time.monotonic()
            elif time.monotonic() - requested_at > TOGETHER_S:
                restore()
                signal.raise_signal(number)

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            restore()
