"""Waiting for a store that is away: calls are tried again with back-off, and the user is told once.

The search stands still meanwhile, because nothing may be decided without its record. MLflow is no part of the record: its
writes wait in a queue instead (`write_queue`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from tuner.artifacts.write_queue import tell_stderr

FIRST_S, LONGEST_S = 0.5, 15.0
"""Seconds before the second try, doubling up to the longest."""
LIMIT_S = 600.0
"""How long a store may be away."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A disk, a quota or a file that takes no more."""
T = TypeVar("T")


class StoreAwayError(Exception):
    """A store did not come back in time. Its text is a sentence for the user."""


class Patience:
    """Calls until it works. `passes` gives the reason of an error that may pass, and None for any other, which is raised.

    `what` is the store's name at the beginning of a sentence. Raises `StoreAwayError` after `limit_s` seconds.
    """

    def __init__(
        self,
        what: str,
        passes: Callable[[Exception], str | None],
        *,
        warn: Callable[[str], None] = tell_stderr,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._what = what
        self._passes = passes
        self._warn = warn
        self._sleep = sleep
        self._clock = clock
        self._limit_s = limit_s

    def __call__(self, call: Callable[[], T]) -> T:
        began, wait_s = self._clock(), FIRST_S
        told = False
        while True:
            try:
                result = call()
            except Exception as error:
                reason = self._passes(error)
                if reason is None:
                    raise
                if self._clock() - began >= self._limit_s:
                    raise StoreAwayError(f"{self._what} did not come back within {self._limit_s:g} s ({reason})") from error
                if not told:
                    self._warn(f"{self._what} is away; the search waits for it ({reason})")
                told = True
                self._sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_S)
                continue
            if told:
                self._warn(f"{self._what} is back")
            return result


def full_disk(error: BaseException) -> str | None:
    """The reason where an error says that a disk takes no more, else None. Libraries written in Rust say it in words alone."""
    if isinstance(error, OSError) and error.errno in FULL:
        return error.strerror or "no space left on device"
    return "No space left on device" if "No space left on device" in str(error) else None


def away_in(error: BaseException | None) -> StoreAwayError | None:
    """The `StoreAwayError` that led to an error, through whatever wrapped it on its way up."""
    while error is not None and not isinstance(error, StoreAwayError):
        error = error.__cause__ or error.__context__
    return error


on_disk = Patience("the disk of the run's folder", full_disk)
