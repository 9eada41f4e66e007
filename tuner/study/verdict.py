"""What a study answers: a trial to run, and what becomes of one after an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from model.config import TrialConfig


class Verdict(Enum):
    """What becomes of a trial after an evaluation."""

    CONTINUE = "continue"
    PRUNE = "prune"
    PAUSE = "pause"
    """It gives its processes back, and may be promoted later."""
    STOP = "stop"
    """It is over for another reason: its score is not finite, or it had ended before."""


@dataclass(frozen=True)
class Asked:
    """A trial to run."""

    number: int
    config: TrialConfig
