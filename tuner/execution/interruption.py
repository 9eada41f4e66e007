"""Ctrl-C and SIGTERM: the first one ends a search cleanly, a later one at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER_S = 1.0
"""Signals within this time are one: `timeout` sends its own to the process and to its group."""


class Interruption:
    """Whether the user has asked the search to end."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the first signal sets `requested`; a later one raises KeyboardInterrupt or ends the process.

        Python lets the main thread alone listen: in another one nothing is changed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        heard_at = 0.0

        def note(number: int, frame: Any) -> None:
            nonlocal heard_at
            if not self.requested:
                self.requested = True
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > TOGETHER_S:
                restore()
                signal.raise_signal(number)

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
