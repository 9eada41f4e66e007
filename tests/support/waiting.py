"""Waiting for what happens meanwhile, up to a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr

from tests.support.searches import Lines


def wait_until(is_so: Callable[[], bool], what: str = "it did not happen in time", timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def back_once_missed(come_back: Callable[[], object]) -> Iterator[list[str]]:
    """Call `come_back` as soon as stderr says that a call is retried. Gives the lines on stderr."""
    captured = Lines()

    def wait() -> None:
        wait_until(lambda: any("; retrying for up to" in line for line in captured.lines), "no message says that it is retried")
        come_back()

    waiting = threading.Thread(target=wait, daemon=True)
    with redirect_stderr(captured):
        waiting.start()
        yield captured.lines
        waiting.join()
