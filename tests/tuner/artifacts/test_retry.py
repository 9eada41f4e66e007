"""Stores that are away: calls wait, the user hears it once, and what cannot pass is raised at once."""

from __future__ import annotations

import errno

import pytest

from tests.support.clock import Clock
from tuner.artifacts.retry import LONGEST_S, Patience, StoreAwayError, away_in, full_disk
from tuner.execution.gang import reason_of


class Away:
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
    """Patience by a clock that sleeping turns."""

    def __init__(self, limit_s: float = 60.0) -> None:
        self.clock, self.said, self.slept = Clock(), [], []  # type: tuple[Clock, list[str], list[float]]
        self.patience = Patience(
            "The disk", full_disk, warn=self.said.append, sleep=self.sleep, clock=self.clock, limit_s=limit_s
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += seconds


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_store_that_is_there_is_called_once_and_nothing_is_said() -> None:
    waiting, call = Waiting(), Away(0, FULL)
    assert waiting.patience(call) == "done"
    assert (call.calls, waiting.said, waiting.slept) == (1, [], [])


def test_calls_are_tried_again_with_back_off_and_told_once() -> None:
    waiting = Waiting(limit_s=1e9)
    assert waiting.patience(Away(8, FULL)) == "done"
    assert waiting.slept == [0.5, 1, 2, 4, 8, LONGEST_S, LONGEST_S, LONGEST_S]
    assert waiting.said == ["The disk is away; the search waits for it (No space left on device)", "The disk is back"]


def test_what_cannot_pass_is_raised_at_once() -> None:
    waiting, call = Waiting(), Away(1, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        waiting.patience(call)
    assert call.calls == 1


def test_patience_has_an_end_with_a_sentence_that_survives_being_wrapped() -> None:
    waiting = Waiting(limit_s=60)
    with pytest.raises(StoreAwayError, match=r"The disk did not come back within 60 s \(No space left on device\)"):
        waiting.patience(Away(1000, FULL))
    assert 60 <= sum(waiting.slept) < 60 + LONGEST_S
    try:
        try:
            waiting.patience(Away(1000, FULL))
        except StoreAwayError as inner:
            raise RuntimeError("Tune failed") from inner
    except RuntimeError as outer:
        assert isinstance(away_in(outer), StoreAwayError)
    assert away_in(RuntimeError("alone")) is None


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
