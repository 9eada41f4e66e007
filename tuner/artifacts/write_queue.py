"""Writes to a store that may be slow or away: done in order by a thread of their own, none lost while the process lives."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

RETRY_S, LONGEST_RETRY_S = 5.0, 60.0
"""Seconds before a store that is away is tried again, doubling up to the longest."""
HURRIED_RETRY_S = 0.5
"""The same while `drain` waits."""

Client = TypeVar("Client")
ClientT_co = TypeVar("ClientT_co", covariant=True)


@dataclass(frozen=True)
class Trouble:
    """Why a write was not done."""

    message: str
    passes: bool
    """Whether the same write may succeed later; False for one that the store refused."""


def tell_stderr(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


class Store(Protocol[ClientT_co]):
    """Does a write, and says what went wrong instead of raising."""

    def attempt(self, write: Callable[[ClientT_co], None]) -> Trouble | None: ...


class WriteQueue(Generic[Client]):
    """Each write is a function of the store's client, and is tried again from its beginning: it must bear being done twice.

    `put` never waits for the store: whoever has something to write goes on with what it does.
    """

    def __init__(self, store: Store[Client], warn: Callable[[str], None]) -> None:
        self._store = store
        self._warn = warn
        self._writes: deque[Callable[[Client], None]] = deque()
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned: set[bool] = set()

    def __len__(self) -> int:
        """Writes that are not done yet."""
        return len(self._writes)

    def put(self, write: Callable[[Client], None]) -> None:
        with self._changed:
            self._writes.append(write)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="writes", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, limit_s: float) -> None:
        """Wait until all is written, for `limit_s` seconds, and say so when some is lost."""
        self._hurry.set()
        with self._changed:
            done = self._changed.wait_for(lambda: not self._writes, timeout=limit_s)
            n_left = len(self._writes)
        self._hurry.clear()
        if not done:
            self._warn(
                f"MLflow did not come back within {limit_s:g} s; {n_left} writes to it are lost, "
                "but for those of trials that have ended, which --resume sends"
            )

    def _work(self) -> None:
        wait_s = RETRY_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._writes)
            trouble = self._store.attempt(self._writes[0])
            if trouble:
                self._tell(trouble)
            if trouble and trouble.passes:
                if self._hurry.wait(wait_s):
                    time.sleep(HURRIED_RETRY_S)
                else:
                    wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                continue
            wait_s = RETRY_S
            with self._changed:
                self._writes.popleft()
                self._changed.notify_all()

    def _tell(self, trouble: Trouble) -> None:
        """One sentence for the first trouble of each kind."""
        if trouble.passes in self._warned:
            return
        self._warned.add(trouble.passes)
        reason = " ".join(trouble.message.split())[:400]
        if trouble.passes:
            self._warn(f"MLflow is away; the search goes on and sends it everything later ({reason})")
        else:
            self._warn(f"MLflow refused a write, which is left out ({reason})")
