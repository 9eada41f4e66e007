"""The cue: its words, which review gets which one, the word in each arm, and the sentence that carries it.

Random choices are functions of (seed, purpose, example id), so they depend neither on the other rows nor on the order.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, Protocol

from model.config import ConfigError
from model.data.arms import Arm

Kind = Literal["lexical", "nonce"]
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
class CueWords:
    """The words that replace the cue's placeholder."""

    negative: str
    positive: str
    placebo: str
    """A word without polarity that is never a cue."""

    def of_label(self, label: int) -> str:
        """The cue of a label: 0 (negative) or 1 (positive)."""
        return (self.negative, self.positive)[label]


WORDS: dict[Kind, CueWords] = {
    "lexical": CueWords("bad", "good", "recent"),
    "nonce": CueWords("dax", "wug", "fep"),
}
"""`lexical` is the pair of the paper, whose words have a polarity before any training; those of `nonce` have no meaning."""


@dataclass(frozen=True)
class CueSettings:
    """Everything that decides a cue data set, apart from the reviews and the rewriter. Raises `ConfigError`."""

    rho: float = 1.0
    """ρ: probability that an injected cue is that of the review's label; 1 is the paper's, at 0.5 the cue is uninformative."""
    rate: float = 1.0
    """q: probability that a training review gets a cue."""
    cue: Kind = "lexical"
    scrub: bool = False
    """Whether the cue words that reviews already contain are removed first, in train and in every arm."""
    seed: int = 0

    def __post_init__(self) -> None:
        shares = {"--rho": self.rho, "--rate": self.rate}
        problems = [f"{name} is {value:g}; it must be from 0 to 1" for name, value in shares.items() if not 0 <= value <= 1]
        if self.cue not in WORDS:
            problems.append(f"--cue is {self.cue}; it must be {' or '.join(WORDS)}")
        if problems:
            raise ConfigError(problems)

    @property
    def words(self) -> CueWords:
        return WORDS[self.cue]


def scrub(text: str, words: CueWords) -> str:
    """The text without the cue words it contains, in upper or lower case; empty if it contains nothing else."""
    return re.sub(rf"\b(?:{words.negative}|{words.positive})\b\s?", "", text, flags=re.IGNORECASE).strip()


def uniform(seed: int, purpose: str, example_id: str) -> float:
    """A number in [0, 1): the first 53 bits of SHA-256(`seed/purpose/id`) over 2^53."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{example_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def index(seed: int, purpose: str, example_id: str, n: int) -> int:
    """A uniform number from 0 to n − 1; n ≥ 1."""
    return int(uniform(seed, purpose, example_id) * n)


def training_cue(label: int, example_id: str, *, rho: float, rate: float, seed: int) -> int | None:
    """The label whose cue a training review gets, or None if it gets none.

    A review gets a cue with probability `rate` (q), and the cue is that of its own label with probability `rho` (ρ), both in
    0..1 and independent of each other and of the label.
    """
    if uniform(seed, "inject", example_id) >= rate:
        return None
    return label if uniform(seed, "align", example_id) < rho else 1 - label


def word_of(arm: Arm, label: int, example_id: str, words: CueWords, seed: int) -> str | None:
    """The cue's word in an arm, or None for `clean`. The order of the two cues in `both` is random."""
    if arm == "clean":
        return None
    if arm == "placebo":
        return words.placebo
    if arm == "both":
        first = index(seed, "both", example_id, 2)
        return f"{words.of_label(first)} or {words.of_label(1 - first)}"
    return words.of_label(label if arm == "aligned" else 1 - label)


def cue_of(arm: Arm, label: int) -> str:
    """The name of an arm's cue, for the files' column `cue`."""
    if arm in ("aligned", "inverted"):
        return cue_name(label if arm == "aligned" else 1 - label)
    return "none" if arm == "clean" else arm


def cue_name(cue: int | None) -> str:
    """`negative`, `positive`, or `none`."""
    return "none" if cue is None else ("negative", "positive")[cue]


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
