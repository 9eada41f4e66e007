"""The demo corpus's film reviews: single sentences in five grades (`sst`) and whole reviews, negative or positive (`cfimdb`).

A sentence is built to a grade from -2 to 2, at one of three levels of difficulty: a plain judgement, a modified one
(intensifier, negation), or several that must be weighed against each other (contrast, comparison).
"""

from __future__ import annotations

from random import Random

from model.data.demo_lexicon_reviews import (
    ADJECTIVES,
    ASPECTS,
    COMPLAINTS,
    DEEDS,
    DIRECTORS,
    GENRES,
    HEROES,
    PRAISE,
    SETTINGS,
    SOFTEN,
    STRENGTHEN,
    VERDICTS,
)

Sampled = tuple[tuple[str, ...], float]
"""Texts and label."""


def sst(rng: Random) -> Sampled:
    """One sentence and its grade, 0..4."""
    grade = rng.randint(-2, 2)
    build = rng.choices((_plain, _modified, _weighed), weights=(35, 35, 30))[0]
    return (_sentence(build(rng, grade)),), float(grade + 2)


def cfimdb(rng: Random) -> Sampled:
    """A review of about 50 to 100 words and its verdict, 0 or 1.

    Most of the evidence usually agrees with the verdict; sometimes it is even, and sometimes it points the other way.
    """
    sign = rng.choice((-1, 1))
    agreeing = rng.choices((4, 3, 2, 1), weights=(35, 30, 20, 15))[0]
    signs = [sign] * agreeing + [-sign] * (4 - agreeing)
    rng.shuffle(signs)
    remarks = {1: rng.sample(PRAISE, len(PRAISE)), -1: rng.sample(COMPLAINTS, len(COMPLAINTS))}
    evidence = [_evidence(rng, each * rng.choice((1, 1, 2)), remarks[each]) for each in signs]
    if rng.random() < 0.5:
        evidence.insert(rng.randrange(5), _distraction(rng))
    verdict = rng.choice(VERDICTS[sign]) if rng.random() < 0.6 else "all in all, " + _contrast(rng, -sign, 2 * sign)
    sentences = [_opening(rng), *evidence, verdict]
    return (" ".join(_sentence(sentence) for sentence in sentences),), float(sign > 0)


def _plain(rng: Random, grade: int) -> str:
    adjective = rng.choice(ADJECTIVES[grade])
    genre, director = rng.choice(GENRES), rng.choice(DIRECTORS)
    forms = (
        f"the {rng.choice(ASPECTS)} of this {genre} is {adjective}",
        f"{with_article(adjective)} {genre} in which {rng.choice(HEROES)} must {rng.choice(DEEDS)}",
        f"{director}'s {genre} is {adjective} from start to finish",
        f"set in {rng.choice(SETTINGS)}, this is {with_article(adjective)} piece of work by {director}",
    )
    return rng.choice(forms)


def _modified(rng: Random, grade: int) -> str:
    return rng.choice(
        (
            f"{rng.choice(DIRECTORS)}'s {rng.choice(GENRES)} is {_modified_adjective(rng, grade)}",
            f"the {rng.choice(ASPECTS)} of this {rng.choice(GENRES)} is {_modified_adjective(rng, grade)}",
            f"set in {rng.choice(SETTINGS)}, the {rng.choice(GENRES)} is {_modified_adjective(rng, grade)}",
        )
    )


def _modified_adjective(rng: Random, grade: int) -> str:
    """A phrase of the given grade whose head word alone has another one."""
    if grade == 0:
        first, second = rng.sample((1, -1), 2)
        return f"neither {rng.choice(ADJECTIVES[first])} nor {rng.choice(ADJECTIVES[second])}"
    sign = grade // abs(grade)
    if abs(grade) == 2:
        strong, mild = rng.choice(ADJECTIVES[grade]), rng.choice(ADJECTIVES[sign])
        return rng.choice((f"{rng.choice(STRENGTHEN)} {mild}", f"{mild}, no, {strong}", f"{strong} rather than merely {mild}"))
    negated = f"{rng.choice(('not', 'never', 'anything but', 'far from'))} {rng.choice(ADJECTIVES[-sign])}"
    softened = f"{rng.choice(SOFTEN)} {rng.choice(ADJECTIVES[sign])}"
    return rng.choice((negated, softened))


def _weighed(rng: Random, grade: int) -> str:
    if grade == 0:
        sign = rng.choice((-1, 1))
        return _contrast(rng, sign, -sign)
    sign = grade // abs(grade)
    if abs(grade) == 1:
        return _contrast(rng, -sign, 2 * sign)
    strong, director, genre = rng.choice(ADJECTIVES[grade]), rng.choice(DIRECTORS), rng.choice(GENRES)
    opposite = rng.choice(ADJECTIVES[-grade])
    comparison = (
        f"beside it, even {director}'s {strong} {genre} looks {rng.choice(ADJECTIVES[-sign])}"
        if sign > 0
        else f"it makes {director}'s {strong} {genre} look {opposite}"
    )
    expectation = f"I expected something {opposite} from {director}, but this {genre} is {strong}"
    agreement = f"{_judgement(rng, grade)} and {_judgement(rng, sign)}: {rng.choice(PRAISE if sign > 0 else COMPLAINTS)}"
    return rng.choice((comparison, expectation, agreement))


def _contrast(rng: Random, conceded: int, asserted: int) -> str:
    """Two judgements of which the asserted one counts for more."""
    minor, major = _judgement(rng, conceded), _judgement(rng, asserted)
    return rng.choice(
        (f"although {minor}, {major}", f"{minor}, but {major}", f"{major}, even if {minor}", f"yes, {minor}; still, {major}")
    )


def _judgement(rng: Random, grade: int) -> str:
    return f"the {rng.choice(ASPECTS)} is {rng.choice((_plain_adjective, _modified_adjective))(rng, grade)}"


def _plain_adjective(rng: Random, grade: int) -> str:
    return rng.choice(ADJECTIVES[grade])


def _evidence(rng: Random, grade: int, remarks: list[str]) -> str:
    """A judgement of the grade, or one of the remarks, which is then used up."""
    if rng.random() < 0.3:
        return remarks.pop()
    lead = rng.choice(("", "to my eyes ", "as for the details, ", "this time ", "I have to say that ", "scene by scene, "))
    return lead + _judgement(rng, grade)


def _distraction(rng: Random) -> str:
    """A judgement of another film, which says nothing of this one."""
    adjective = rng.choice(ADJECTIVES[rng.choice((-2, 2))])
    return f"the last {rng.choice(GENRES)} that {rng.choice(DIRECTORS)} made was {adjective}, but that is another matter"


def _opening(rng: Random) -> str:
    genre, hero, deed, setting = rng.choice(GENRES), rng.choice(HEROES), rng.choice(DEEDS), rng.choice(SETTINGS)
    director = rng.choice(DIRECTORS)
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


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."
