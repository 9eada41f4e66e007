"""What stands in the cue's place in each arm: the same reviews, differing only in the cue."""

from __future__ import annotations

from model.cues.draw import index
from model.cues.words import CueWords
from model.data.arms import Arm


def word_of(arm: Arm, label: int, example_id: str, words: CueWords, seed: int) -> str | None:
    """What stands in the cue's place in an arm, or None for `clean`. Which cue comes first in `both` is drawn."""
    if arm == "clean":
        return None
    if arm == "placebo":
        return words.placebo
    if arm == "both":
        return words.both(index(seed, "both", example_id, 2))
    return words.of(label if arm == "aligned" else 1 - label)


def cue_of(arm: Arm, label: int) -> str:
    """The name of an arm's cue, for the files' column `cue`."""
    if arm in ("aligned", "inverted"):
        return cue_name(label if arm == "aligned" else 1 - label)
    return {"clean": "none"}.get(arm, arm)


def cue_name(cue: int | None) -> str:
    """`negative`, `positive`, or `none`."""
    return "none" if cue is None else ("negative", "positive")[cue]
