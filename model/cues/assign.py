"""Which training reviews get a cue, and which one: injection rate q and alignment ρ."""

from __future__ import annotations

from model.cues.draw import uniform


def training_cue(label: int, example_id: str, *, rho: float, rate: float, seed: int) -> int | None:
    """The label whose cue a training review gets, or None where it stays as it is.

    A review gets a cue with probability `rate` (q), and the cue is that of its own label with probability `rho` (ρ), both in
    0..1 and independent of each other and of the label.
    """
    if uniform(seed, "inject", example_id) >= rate:
        return None
    return label if uniform(seed, "align", example_id) < rho else 1 - label
