"""The demo corpus's film reviews: single sentences in five grades (`sst`) and whole reviews, negative or positive (`cfimdb`).

A sentence has a grade from -2 to 2, at one of three levels of difficulty: a plain judgement, a modified one (intensifier,
negation), or several that must be weighed against each other (contrast, comparison). The words are in demo_reviews.yaml.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import yaml

Sampled = tuple[tuple[str, ...], float]
"""Texts and label."""
WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def sst(rng: Random) -> Sampled:
    """One sentence and its grade, 0..4."""
    grade = rng.randint(-2, 2)
    build = rng.choices((_plain, _modified, _weighed), weights=(35, 35, 30))[0]
    return (_sentence(build(rng, grade)),), float(grade + 2)


def cfimdb(rng: Random) -> Sampled:
    """A review of about 50 to 100 words and its label, 0 or 1.

    Of four judgements usually most agree with the label, sometimes half, and sometimes one.
    """
    sign = rng.choice((-1, 1))
    agreeing = rng.choices((4, 3, 2, 1), weights=(35, 30, 20, 15))[0]
    signs = [sign] * agreeing + [-sign] * (4 - agreeing)
    rng.shuffle(signs)
    remarks = {polarity: rng.sample(WORDS[kind], len(WORDS[kind])) for polarity, kind in ((1, "praise"), (-1, "complaints"))}
    evidence = [_evidence(rng, each * rng.choice((1, 1, 2)), remarks[each]) for each in signs]
    if rng.random() < 0.5:
        evidence.insert(rng.randrange(5), _distraction(rng))
    verdict = rng.choice(WORDS["verdicts"][sign]) if rng.random() < 0.6 else "all in all, " + _contrast(rng, -sign, 2 * sign)
    sentences = [_opening(rng), *evidence, verdict]
    return (" ".join(_sentence(sentence) for sentence in sentences),), float(sign > 0)


def _plain(rng: Random, grade: int) -> str:
    adjective = rng.choice(WORDS["adjectives"][grade])
    genre, director = rng.choice(WORDS["genres"]), rng.choice(WORDS["directors"])
    forms = (
        f"the {rng.choice(WORDS['aspects'])} of this {genre} is {adjective}",
        f"{with_article(adjective)} {genre} in which {rng.choice(WORDS['heroes'])} must {rng.choice(WORDS['deeds'])}",
        f"{director}'s {genre} is {adjective} from start to finish",
        f"set in {rng.choice(WORDS['settings'])}, this is {with_article(adjective)} piece of work by {director}",
    )
    return rng.choice(forms)


def _modified(rng: Random, grade: int) -> str:
    return rng.choice(
        (
            f"{rng.choice(WORDS['directors'])}'s {rng.choice(WORDS['genres'])} is {_modified_adjective(rng, grade)}",
            f"the {rng.choice(WORDS['aspects'])} of this {rng.choice(WORDS['genres'])} is {_modified_adjective(rng, grade)}",
            f"set in {rng.choice(WORDS['settings'])}, the {rng.choice(WORDS['genres'])} is {_modified_adjective(rng, grade)}",
        )
    )


def _modified_adjective(rng: Random, grade: int) -> str:
    """A phrase of the given grade whose head word alone has another one."""
    if grade == 0:
        first, second = rng.sample((1, -1), 2)
        return f"neither {rng.choice(WORDS['adjectives'][first])} nor {rng.choice(WORDS['adjectives'][second])}"
    sign = grade // abs(grade)
    if abs(grade) == 2:
        strong, mild = rng.choice(WORDS["adjectives"][grade]), rng.choice(WORDS["adjectives"][sign])
        return rng.choice(
            (f"{rng.choice(WORDS['strengthen'])} {mild}", f"{mild}, no, {strong}", f"{strong} rather than merely {mild}")
        )
    negated = f"{rng.choice(('not', 'never', 'anything but', 'far from'))} {rng.choice(WORDS['adjectives'][-sign])}"
    softened = f"{rng.choice(WORDS['soften'])} {rng.choice(WORDS['adjectives'][sign])}"
    return rng.choice((negated, softened))


def _weighed(rng: Random, grade: int) -> str:
    if grade == 0:
        sign = rng.choice((-1, 1))
        return _contrast(rng, sign, -sign)
    sign = grade // abs(grade)
    if abs(grade) == 1:
        return _contrast(rng, -sign, 2 * sign)
    strong, director, genre = (
        rng.choice(WORDS["adjectives"][grade]),
        rng.choice(WORDS["directors"]),
        rng.choice(WORDS["genres"]),
    )
    opposite = rng.choice(WORDS["adjectives"][-grade])
    comparison = (
        f"beside it, even {director}'s {strong} {genre} looks {rng.choice(WORDS['adjectives'][-sign])}"
        if sign > 0
        else f"it makes {director}'s {strong} {genre} look {opposite}"
    )
    expectation = f"I expected something {opposite} from {director}, but this {genre} is {strong}"
    agreement = (
        f"{_judgement(rng, grade)} and {_judgement(rng, sign)}: {rng.choice(WORDS['praise' if sign > 0 else 'complaints'])}"
    )
    return rng.choice((comparison, expectation, agreement))


def _contrast(rng: Random, conceded: int, asserted: int) -> str:
    """Two judgements of which the asserted one counts for more."""
    minor, major = _judgement(rng, conceded), _judgement(rng, asserted)
    return rng.choice(
        (f"although {minor}, {major}", f"{minor}, but {major}", f"{major}, even if {minor}", f"yes, {minor}; still, {major}")
    )


def _judgement(rng: Random, grade: int) -> str:
    return f"the {rng.choice(WORDS['aspects'])} is {rng.choice((_plain_adjective, _modified_adjective))(rng, grade)}"


def _plain_adjective(rng: Random, grade: int) -> str:
    return str(rng.choice(WORDS["adjectives"][grade]))


def _evidence(rng: Random, grade: int, remarks: list[str]) -> str:
    """A judgement of the grade, or one of the remarks, which is then used up."""
    if rng.random() < 0.3:
        return remarks.pop()
    lead = rng.choice(("", "to my eyes ", "as for the details, ", "this time ", "I have to say that ", "scene by scene, "))
    return lead + _judgement(rng, grade)


def _distraction(rng: Random) -> str:
    """A judgement of another film, which says nothing about this one."""
    adjective, genre = rng.choice(WORDS["adjectives"][rng.choice((-2, 2))]), rng.choice(WORDS["genres"])
    return f"the last {genre} that {rng.choice(WORDS['directors'])} made was {adjective}, but that is another matter"


def _opening(rng: Random) -> str:
    genre, hero, deed, setting = (
        rng.choice(WORDS["genres"]),
        rng.choice(WORDS["heroes"]),
        rng.choice(WORDS["deeds"]),
        rng.choice(WORDS["settings"]),
    )
    director = rng.choice(WORDS["directors"])
    return rng.choice(
        (
            f"{director}'s new {genre} takes us to {setting}, where {hero} must {deed} before the week is out",
            f"in this {genre} by {director}, {hero} must {deed}, and most of it happens in {setting}",
            f"last night I saw the {genre} by {director} in which {hero} must {deed} somewhere in {setting}",
        )
    )


def with_article(words: str) -> str:
    """`a` or `an` in front."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def capitalised(words: str) -> str:
    return words[0].upper() + words[1:]


def _sentence(words: str) -> str:
    return f"{capitalised(words)}."
