"""Retries: with back-off, one warning, and permanent errors raised at once."""

from __future__ import annotations

import errno

import pytest

from tests.support.clock import Clock
from tuner.artifacts.retry import LONGEST_S, Retry, StoreUnreachableError, full_disk, unreachable_store_in
from tuner.execution.gang import reason_of


class Failing:
    """Raises the first `n` times it is called."""

    def __init__(self, n: int, error: Exception) -> None:
        self.left, self.error, self.calls = n, error, 0

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "done"


class Waiting:
    """A retry whose clock advances by sleeping."""

    def __init__(self, limit_s: float = 60.0) -> None:
        self.clock, self.said, self.slept = Clock(), [], []  # type: tuple[Clock, list[str], list[float]]
        self.retry = Retry("the disk", full_disk, warn=self.said.append, sleep=self.sleep, clock=self.clock, limit_s=limit_s)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += seconds


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_successful_call_is_not_repeated_and_prints_nothing() -> None:
    waiting, call = Waiting(), Failing(0, FULL)
    assert waiting.retry(call) == "done"
    assert (call.calls, waiting.said, waiting.slept) == (1, [], [])


def test_calls_are_retried_with_back_off_and_one_warning() -> None:
    waiting = Waiting(limit_s=1e9)
    assert waiting.retry(Failing(8, FULL)) == "done"
    assert waiting.slept == [0.5, 1, 2, 4, 8, LONGEST_S, LONGEST_S, LONGEST_S]
    assert waiting.said == [
        "cannot use the disk (No space left on device); retrying for up to 1e+09 s",
        "the disk can be used again",
    ]


def test_permanent_errors_are_raised_at_once() -> None:
    waiting, call = Waiting(), Failing(1, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        waiting.retry(call)
    assert call.calls == 1


def test_retries_end_with_an_error_that_survives_being_wrapped() -> None:
    waiting = Waiting(limit_s=60)
    with pytest.raises(
        StoreUnreachableError, match=r"cannot use the disk: still failing after 60 s \(No space left on device\)"
    ):
        waiting.retry(Failing(1000, FULL))
    assert 60 <= sum(waiting.slept) < 60 + LONGEST_S
    try:
        try:
            waiting.retry(Failing(1000, FULL))
        except StoreUnreachableError as inner:
            raise RuntimeError("Tune failed") from inner
    except RuntimeError as outer:
        assert isinstance(unreachable_store_in(outer), StoreUnreachableError)
    assert unreachable_store_in(RuntimeError("alone")) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FULL, "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device"),  # as safetensors has it
        (OSError(errno.EACCES, "Permission denied"), None),
        (ValueError("full of mistakes"), None),
    ],
)
def test_a_full_disk_is_known(error: Exception, reason: str | None) -> None:
    assert full_disk(error) == reason


def test_a_full_disk_has_a_name_in_the_reason_of_a_trial() -> None:
    assert reason_of(FULL) == "the disk is full: [Errno 28] No space left on device"
