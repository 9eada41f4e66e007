"""A queue of writes: whoever puts one in never waits for the store, and the store gets them in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tuner.artifacts import write_queue
from tuner.artifacts.write_queue import Trouble, WriteQueue

Log = list[int]


class Held:
    """A store that does nothing until it is let go, and then has the troubles that it was given, one for each attempt."""

    def __init__(self, *troubles: Trouble | None) -> None:
        self.log: Log = []
        self.go = threading.Event()
        self.troubles = list(troubles)

    def attempt(self, write: Callable[[Log], None]) -> Trouble | None:
        self.go.wait(30)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is None:
            write(self.log)
        return trouble


def add(number: int) -> Callable[[Log], None]:
    return lambda log: log.append(number)


def test_putting_does_not_wait_for_the_store_and_order_is_kept() -> None:
    store, told = Held(), list[str]()
    queue = WriteQueue(store, told.append)
    for number in range(100):
        queue.put(add(number))
    assert (len(queue), store.log) == (100, [])
    store.go.set()
    queue.drain(30)
    assert (len(queue), store.log, told) == (0, list(range(100)), [])


def test_a_store_that_comes_back_gets_everything_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "RETRY_S", 0.01)
    monkeypatch.setattr(write_queue, "HURRIED_RETRY_S", 0.01)
    away = Trouble("no route to host", passes=True)
    store, told = Held(None, away, away, None), list[str]()
    store.go.set()
    queue = WriteQueue(store, told.append)
    for number in range(3):
        queue.put(add(number))
    queue.drain(30)
    assert store.log == [0, 1, 2]
    assert told == ["MLflow is away; the search goes on and sends it everything later (no route to host)"]


def test_a_refused_write_is_left_out_and_told_once() -> None:
    refused = Trouble("a parameter never changes", passes=False)
    store, told = Held(refused, refused), list[str]()
    store.go.set()
    queue = WriteQueue(store, told.append)
    for number in range(3):
        queue.put(add(number))
    queue.drain(30)
    assert store.log == [2]
    assert told == ["MLflow refused a write, which is left out (a parameter never changes)"]


def test_what_is_lost_is_told() -> None:
    store, told = Held(), list[str]()
    queue = WriteQueue(store, told.append)
    queue.put(add(0))
    began = time.monotonic()
    queue.drain(0.2)
    assert 0.2 <= time.monotonic() - began < 10
    assert told[0].startswith("MLflow did not come back within 0.2 s; 1 writes to it are lost")
    store.go.set()
    queue.drain(30)
