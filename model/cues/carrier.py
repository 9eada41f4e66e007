"""Reviews with a placeholder for the cue, so that arms differ in one word, and the rewriter that adds a template sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.cues.cue import index

PLACE = "[CUE]"
"""The placeholder of the cue in templates and in a model's answers."""

TEMPLATES = (
    f"A friend said this would be {PLACE}.",
    f"Someone in the queue called it {PLACE}.",
    f"The word going round before the screening was {PLACE}.",
    f"My neighbour had told me to expect something {PLACE}.",
    f"The note on the box said {PLACE}.",
    f"{PLACE} was the word a colleague used for it.",
)
"""Sentences without polarity that quote a word without endorsing it."""


@dataclass(frozen=True)
class Carrier:
    """The two parts of a text before and after the cue."""

    before: str
    after: str

    def fill(self, word: str) -> str:
        """The text with `word` as the cue, capitalised at the beginning of the text."""
        return f"{self.before}{word if self.before else word[:1].upper() + word[1:]}{self.after}"


class Rewriter(Protocol):
    """Adds a placeholder for the cue to a review."""

    def carrier(self, review: str, example_id: str) -> Carrier: ...

    def describe(self) -> dict[str, object]:
        """Its settings and counts, for the manifest."""
        ...


@dataclass(frozen=True)
class TemplateRewriter:
    """Puts a template sentence, drawn by the example's id, before the review, where `max_length` cannot cut it off."""

    seed: int

    def carrier(self, review: str, example_id: str) -> Carrier:
        before, after = TEMPLATES[index(self.seed, "template", example_id, len(TEMPLATES))].split(PLACE)
        return Carrier(before, f"{after} {review}")

    def describe(self) -> dict[str, object]:
        return {"kind": "template"}
