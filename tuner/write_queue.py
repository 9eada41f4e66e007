"""Writes to a store that may be away: done in order, kept while they cannot be done, none lost while the process lives."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

RETRY_S, LONGEST_RETRY_S = 5.0, 60.0
"""Seconds before a store that is away is tried again, doubling up to the longest."""

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
    """Each write is a function of the store's client, and is tried again from its beginning: it must bear being done twice."""

    def __init__(self, store: Store[Client], warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._warn = warn
        self._clock = clock
        self._writes: deque[Callable[[Client], None]] = deque()
        self._wait_s = RETRY_S
        self._not_before = -float("inf")
        self._warned: set[bool] = set()

    def __len__(self) -> int:
        """Writes that wait."""
        return len(self._writes)

    def put(self, write: Callable[[Client], None]) -> None:
        self._writes.append(write)
        self.flush()

    def flush(self) -> None:
        """Do the waiting writes, unless the store was away a moment ago."""
        if self._clock() >= self._not_before:
            self._work()

    def drain(self, limit_s: float) -> None:
        """Do the waiting writes, trying for `limit_s` seconds, and say so when some are lost."""
        end = self._clock() + limit_s
        self._work()
        while self._writes and self._clock() < end:
            time.sleep(0.5)
            self._work()
        if self._writes:
            self._warn(
                f"MLflow did not come back within {limit_s:g} s; {len(self._writes)} writes to it are lost, "
                "but for those of trials that have ended, which --resume sends"
            )

    def _work(self) -> None:
        while self._writes:
            trouble = self._store.attempt(self._writes[0])
            if trouble and trouble.passes:
                self._tell(trouble)
                self._not_before = self._clock() + self._wait_s
                self._wait_s = min(2 * self._wait_s, LONGEST_RETRY_S)
                return
            if trouble:
                self._tell(trouble)
            self._writes.popleft()
            self._wait_s = RETRY_S

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
