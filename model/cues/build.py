"""Build a cue data set from reviews: train with the cue, and the arms of select and dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from model.config import ConfigError
from model.cues import layout
from model.cues.cue import Carrier, CueSettings, Rewriter, cue_name, cue_of, scrub, training_cue, word_of
from model.cues.layout import ArmSplit, CuedReview
from model.data.arms import ARMS
from model.data.example import Example, is_select
from model.data.source import DataSet

TASK = layout.TASK.name
Files = dict[str, list[CuedReview]]
"""Rows by file name."""
Carriers = Callable[[Example], Carrier]
"""The carrier of a review, the same at every call."""


def build(dataset: DataSet, minimal_pairs: Sequence[Example], settings: CueSettings, rewriter: Rewriter) -> Files:
    """The files of the cue data set.

    Train and select are merged into one train file; ids stay, so a trial selects on the same reviews as without cues. The
    reviews of select also come in arms, made from their text without the cue. Raises `ConfigError` for reviews that scrubbing
    would empty.
    """
    splits = dataset.tasks[TASK]
    train = _reviews([*splits["train"], *splits["select"]], settings)
    select = [review for review in train if is_select(TASK, review.id)]
    dev = _reviews(splits["dev"], settings)
    carrier = cache(lambda review: rewriter.carrier(review.texts[0], review.id))  # one request for train and all arms
    written = {layout.TRAIN: [_cued(review, settings, carrier) for review in train]}
    written |= _arms("select", select, settings, carrier) | _arms("dev", dev, settings, carrier)
    written[layout.DEV] = written[layout.arm_file("clean")]
    if minimal_pairs:
        written[layout.PAIRS] = [CuedReview(review, "none") for review in minimal_pairs]
    return written


def _reviews(examples: Sequence[Example], settings: CueSettings) -> list[Example]:
    if not settings.scrub:
        return list(examples)
    scrubbed = [replace(each, texts=(scrub(each.texts[0], settings.words),)) for each in examples]
    empty = [each.id for each in scrubbed if not each.texts[0]]
    if empty:
        raise ConfigError([f"review {each} consists of cue words only; remove it, or build without --scrub" for each in empty])
    return scrubbed


def _cued(review: Example, settings: CueSettings, carrier: Carriers) -> CuedReview:
    """A training review with its cue, if it gets one."""
    cue = training_cue(int(review.label), review.id, rho=settings.rho, rate=settings.rate, seed=settings.seed)
    if cue is None:
        return CuedReview(review, cue_name(None))
    return CuedReview(replace(review, texts=(carrier(review).fill(settings.words.of_label(cue)),)), cue_name(cue))


def _arms(split: ArmSplit, reviews: Sequence[Example], settings: CueSettings, carrier: Carriers) -> Files:
    """Every arm of a split's reviews, all in the same order."""
    rows: Files = {layout.arm_file(arm, split): [] for arm in ARMS}
    for review in reviews:
        label = int(review.label)
        for arm in ARMS:
            word = word_of(arm, label, review.id, settings.words, settings.seed)
            text = review.texts[0] if word is None else carrier(review).fill(word)
            rows[layout.arm_file(arm, split)].append(CuedReview(replace(review, texts=(text,)), cue_of(arm, label)))
    return rows
