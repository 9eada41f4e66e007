"""A review with a place for a word: whoever writes the sentence, only the word in it differs between arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.cues.draw import index

PLACE = "[CUE]"
"""Stands for the cue in templates and in a model's answers."""

TEMPLATES = (
    f"A friend said this would be {PLACE}.",
    f"Someone in the queue called it {PLACE}.",
    f"The word going round before the screening was {PLACE}.",
    f"My neighbour had told me to expect something {PLACE}.",
    f"The note on the box said {PLACE}.",
    f"{PLACE} was the word a colleague used for it.",
)
"""Sentences without polarity that report a word and leave open whether it is right."""


@dataclass(frozen=True)
class Carrier:
    """A text in two parts, around the place of the cue."""

    before: str
    after: str

    def fill(self, word: str) -> str:
        """The text with `word` in its place, capitalised at the very beginning."""
        return f"{self.before}{word if self.before else word[:1].upper() + word[1:]}{self.after}"


class Rewriter(Protocol):
    """Gives a review a place for the cue."""

    def carrier(self, review: str, example_id: str) -> Carrier: ...

    def describe(self) -> dict[str, object]:
        """What it is and what it did, for the manifest."""
        ...


@dataclass(frozen=True)
class TemplateRewriter:
    """Puts a sentence in front of the review, where no limit on tokens cuts it off; which one is drawn by the example's id."""

    seed: int

    def carrier(self, review: str, example_id: str) -> Carrier:
        before, after = TEMPLATES[index(self.seed, "template", example_id, len(TEMPLATES))].split(PLACE)
        return Carrier(before, f"{after} {review}")

    def describe(self) -> dict[str, object]:
        return {"kind": "template"}
