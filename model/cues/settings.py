"""What a cue data set is built from, and what is wrong with it, all at once."""

from __future__ import annotations

from dataclasses import dataclass

from model.config import ConfigError
from model.cues.words import WORDS, CueWords, Kind


@dataclass(frozen=True)
class CueSettings:
    """Everything that decides the data set, apart from the reviews and the rewriter."""

    rho: float = 1.0
    """ρ: probability that an injected cue is that of the review's label; 1 is the paper, 0.5 tells nothing."""
    rate: float = 1.0
    """q: probability that a training review gets a cue."""
    cue: Kind = "lexical"
    scrub: bool = False
    """Whether the reviews' own cue words are taken out first, in train and in every arm."""
    seed: int = 0

    def __post_init__(self) -> None:
        given = {"--rho": self.rho, "--rate": self.rate}
        problems = [f"{name} is {value:g}; it must be from 0 to 1" for name, value in given.items() if not 0 <= value <= 1]
        if self.cue not in WORDS:
            problems.append(f"--cue is {self.cue}; it must be {' or '.join(WORDS)}")
        if problems:
            raise ConfigError(problems)

    @property
    def words(self) -> CueWords:
        return WORDS[self.cue]
