"""Signals that a search hears."""

from __future__ import annotations

import signal

import pytest

from tuner.execution import interruption
from tuner.execution.interruption import Interruption


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_signals_that_come_together_are_one(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    heard = Interruption()
    with heard.listening():
        assert not heard.requested
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert heard.requested
    assert signal.getsignal(number) is before


def test_a_later_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "TOGETHER_S", -1.0)
    heard = Interruption()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
    try:
        with pytest.raises(KeyboardInterrupt), heard.listening():
            signal.raise_signal(signal.SIGINT)
            assert heard.requested
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
