"""Ctrl-C and SIGTERM: the first one ends a search cleanly, a second one at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the user has asked the search to end."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the first signal sets `requested`; a further one raises KeyboardInterrupt or ends the process."""
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, frame: Any) -> None:
            self.requested = True
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
