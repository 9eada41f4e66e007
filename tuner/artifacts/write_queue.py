"""A queue of writes to a store that may be slow or unreachable: a thread does them in order and retries them."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RETRY_S, LONGEST_RETRY_S = 5.0, 60.0
"""Seconds before a failed write is retried, doubling up to the longest."""
HURRIED_RETRY_S = 0.5
"""The same while `drain` waits."""

Write = Callable[[Any], None]
"""A function of the store's client. It must be idempotent, because a failed one is repeated from its start."""


@dataclass(frozen=True)
class WriteFailure:
    """Why a write failed."""

    message: str
    is_transient: bool
    """Whether the same write may succeed later; False when the store has rejected it."""


def write_stderr(sentence: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{sentence}\n")


class WriteQueue:
    """Does the writes that `put` adds, which never waits for the store; `attempt` does one and returns its failure."""

    def __init__(self, attempt: Callable[[Write], WriteFailure | None], warn: Callable[[str], None]) -> None:
        self._attempt = attempt
        self._warn = warn
        self._writes: deque[Write] = deque()
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned: set[bool] = set()

    def __len__(self) -> int:
        """Pending writes."""
        return len(self._writes)

    def put(self, write: Write) -> None:
        with self._changed:
            self._writes.append(write)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="writes", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, limit_s: float) -> None:
        """Wait up to `limit_s` seconds until everything is written; warn when writes are lost."""
        self._hurry.set()
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._writes, timeout=limit_s)
            n_left = len(self._writes)
        self._hurry.clear()
        if not is_done:
            self._warn(
                f"MLflow was unreachable for {limit_s:g} s; {n_left} writes are lost; "
                "--resume sends those of finished trials again"
            )

    def _work(self) -> None:
        wait_s = RETRY_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._writes)
            failure = self._attempt(self._writes[0])
            if failure:
                self._warn_once(failure)
            if failure and failure.is_transient:
                if self._hurry.wait(wait_s):
                    time.sleep(HURRIED_RETRY_S)
                else:
                    wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                continue
            wait_s = RETRY_S
            with self._changed:
                self._writes.popleft()
                self._changed.notify_all()

    def _warn_once(self, failure: WriteFailure) -> None:
        """Warn of the first transient and of the first permanent failure."""
        if failure.is_transient in self._warned:
            return
        self._warned.add(failure.is_transient)
        reason = " ".join(failure.message.split())[:400]
        if failure.is_transient:
            self._warn(f"cannot reach MLflow ({reason}); the search continues and sends everything later")
        else:
            self._warn(f"MLflow rejected a write, which is skipped ({reason})")
