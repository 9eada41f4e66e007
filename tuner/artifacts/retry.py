"""Retries calls to a store or disk with back-off, and warns once.

The search blocks meanwhile, because it decides nothing without its record. MLflow is not part of the record: its writes are
queued instead (`write_queue`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tuner.artifacts.write_queue import write_stderr

FIRST_S, LONGEST_S = 0.5, 15.0
"""Seconds before the second try, doubling up to the longest."""
LIMIT_S = 600.0
"""Seconds of failing calls after which a store is given up."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, quota or file."""
T = TypeVar("T")


class StoreUnreachableError(Exception):
    """A store has failed for longer than the limit. The text is a sentence for the user."""


@dataclass(frozen=True)
class Retry:
    """Repeats a call while it fails with a transient error; raises `StoreUnreachableError` after `limit_s` seconds."""

    name: str
    """What is called, within a sentence: `the storage s3://bucket`."""
    transient: Callable[[Exception], str | None]
    """The reason of an error that may pass; None for any other error, which is raised at once."""
    warn: Callable[[str], None] = write_stderr
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    limit_s: float = LIMIT_S

    def __call__(self, call: Callable[[], T]) -> T:
        start, wait_s = self.clock(), FIRST_S
        has_warned = False
        while True:
            try:
                result = call()
            except Exception as error:
                reason = self.transient(error)
                if reason is None:
                    raise
                if self.clock() - start >= self.limit_s:
                    raise StoreUnreachableError(
                        f"cannot use {self.name}: still failing after {self.limit_s:g} s ({reason})"
                    ) from error
                if not has_warned:
                    self.warn(f"cannot use {self.name} ({reason}); retrying for up to {self.limit_s:g} s")
                has_warned = True
                self.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_S)
                continue
            if has_warned:
                self.warn(f"{self.name} can be used again")
            return result


def full_disk(error: BaseException) -> str | None:
    """The reason when an error means a full disk, else None. Libraries written in Rust put it into the message alone."""
    if isinstance(error, OSError) and error.errno in FULL:
        return error.strerror or "no space left on device"
    return "No space left on device" if "No space left on device" in str(error) else None


def unreachable_store_in(error: BaseException | None) -> StoreUnreachableError | None:
    """The first `StoreUnreachableError` in the chain of causes of an error."""
    while error is not None and not isinstance(error, StoreUnreachableError):
        error = error.__cause__ or error.__context__
    return error


retry_on_full_disk = Retry("the disk of the run's folder", full_disk)
