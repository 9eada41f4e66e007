"""What a language model is asked, and whether its answer can be used."""

from __future__ import annotations

from model.cues.carrier import PLACE, Carrier

INSTRUCTION = (
    f"You edit movie reviews. Add one short sentence to the review, in its own style, in which the literal placeholder {PLACE} "
    "stands where one adjective would stand. The sentence must fit whichever adjective is filled in, and must be neither "
    "positive nor negative. Change nothing else of the review. Answer with the whole edited review and nothing else. "
    f"{PLACE} occurs exactly once."
)
SHORTEST, LONGEST = 0.8, 1.2
"""Words of an answer over words of the review."""
SENTENCE = 40
"""Words that the added sentence may take on top."""


def messages(review: str) -> list[dict[str, str]]:
    """The conversation about one review."""
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": review}]


def accept(review: str, answer: str) -> Carrier | str:
    """The answer as a carrier, or the reason why it cannot be used."""
    text = " ".join(answer.split())
    if text.count(PLACE) != 1:
        return "no cue" if PLACE not in text else "more than one cue"
    n_review, n_answer = len(review.split()), len(text.split())
    if n_answer < SHORTEST * n_review:
        return "too short"
    if n_answer > LONGEST * n_review + SENTENCE:
        return "too long"
    before, after = text.split(PLACE)
    return Carrier(before, after)
