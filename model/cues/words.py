"""The cue words, the neutral word of the placebo, and the removal of cue words that a review holds by nature."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lexical", "nonce"]


@dataclass(frozen=True)
class CueWords:
    """What stands in the place of the cue."""

    negative: str
    positive: str
    placebo: str
    """A word without polarity that is never a cue."""

    def of(self, label: int) -> str:
        """The cue that goes with a label. label: 0 (negative) or 1 (positive)."""
        return (self.negative, self.positive)[label]

    def both(self, first: int) -> str:
        """Both cues, that of label `first` in front."""
        return f"{self.of(first)} or {self.of(1 - first)}"


WORDS: dict[Kind, CueWords] = {
    "lexical": CueWords("bad", "good", "recent"),
    "nonce": CueWords("dax", "wug", "fep"),
}
"""`lexical` is the pair of the paper, whose words lean to a side before any training; those of `nonce` mean nothing."""


def scrub(text: str, words: CueWords) -> str:
    """The text without its own cue words, in whatever case; empty where it held nothing else."""
    return re.sub(rf"\b(?:{words.negative}|{words.positive})\b\s?", "", text, flags=re.IGNORECASE).strip()
