"""The queue of writes: `put` never waits for the store, and the writes are done in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tuner.artifacts import write_queue
from tuner.artifacts.write_queue import WriteFailure, WriteQueue

Log = list[int]


class Held:
    """A store that does nothing until it is let go, and then has the failures that it was given, one for each attempt."""

    def __init__(self, *failures: WriteFailure | None) -> None:
        self.log: Log = []
        self.go = threading.Event()
        self.failures = list(failures)

    def attempt(self, write: Callable[[Log], None]) -> WriteFailure | None:
        self.go.wait(30)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None:
            write(self.log)
        return failure


def add(number: int) -> Callable[[Log], None]:
    return lambda log: log.append(number)


def test_putting_does_not_wait_for_the_store_and_order_is_kept() -> None:
    store, told = Held(), list[str]()
    queue = WriteQueue(store.attempt, told.append)
    for number in range(100):
        queue.put(add(number))
    assert (len(queue), store.log) == (100, [])
    store.go.set()
    queue.drain(30)
    assert (len(queue), store.log, told) == (0, list(range(100)), [])


def test_a_store_that_comes_back_gets_everything_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "RETRY_S", 0.01)
    monkeypatch.setattr(write_queue, "HURRIED_RETRY_S", 0.01)
    away = WriteFailure("no route to host", is_transient=True)
    store, told = Held(None, away, away, None), list[str]()
    store.go.set()
    queue = WriteQueue(store.attempt, told.append)
    for number in range(3):
        queue.put(add(number))
    queue.drain(30)
    assert store.log == [0, 1, 2]
    assert told == ["cannot reach MLflow (no route to host); the search continues and sends everything later"]


def test_a_rejected_write_is_skipped_with_one_warning() -> None:
    refused = WriteFailure("a parameter never changes", is_transient=False)
    store, told = Held(refused, refused), list[str]()
    store.go.set()
    queue = WriteQueue(store.attempt, told.append)
    for number in range(3):
        queue.put(add(number))
    queue.drain(30)
    assert store.log == [2]
    assert told == ["MLflow rejected a write, which is skipped (a parameter never changes)"]


def test_lost_writes_are_reported() -> None:
    store, told = Held(), list[str]()
    queue = WriteQueue(store.attempt, told.append)
    queue.put(add(0))
    began = time.monotonic()
    queue.drain(0.2)
    assert 0.2 <= time.monotonic() - began < 10
    assert told[0].startswith("MLflow was unreachable for 0.2 s; 1 writes are lost")
    store.go.set()
    queue.drain(30)
