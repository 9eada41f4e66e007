"""The demo corpus's sentence pairs: questions that do or do not ask the same (`quora`), scenes and headlines that share more or
less of their content (`sts`)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from model.data.demo_lexicon_pairs import (
    ACTIONS,
    AGENTS,
    AILMENTS,
    ASSETS,
    CIRCUMSTANCES,
    CITIES,
    COMPANIES,
    INTENTS,
    JOBS,
    MOVES,
    NUMBERS,
    PLACES,
    SKILLS,
    THINGS,
)

Sampled = tuple[tuple[str, ...], float]
"""Texts and label."""
Names = tuple[str, ...]
"""One entity: its name and, if it has any, a synonym."""
Groups = Sequence[Sequence[Names]]
"""Relatives stand in one group."""

SLOTS: dict[str, tuple[Names, ...]] = {
    "skill": SKILLS,
    "thing": THINGS,
    "job": JOBS,
    "ailment": AILMENTS,
    "n": tuple((number,) for number in NUMBERS),
    "city": tuple((city,) for city in CITIES),
    "city2": tuple((city,) for city in CITIES),
    "circumstance": tuple((phrase,) for phrase in CIRCUMSTANCES),
}

# ---- quora -----------------------------------------------------------------------------------------------------------


def quora(rng: Random) -> Sampled:
    """Two questions; 1 when they ask the same. Nine in twenty do.

    Duplicates differ in wording or only in names and order. The others ask something else, or are near misses that change one
    slot or turn the meaning round.
    """
    intent = rng.choice(INTENTS)
    meaning = rng.randrange(2)
    form = rng.randrange(len(intent[meaning]))
    slots = _fill(rng)
    first = _ask(rng, intent[meaning][form], slots)
    form2 = form if rng.random() < 0.4 else rng.randrange(len(intent[meaning]))
    if rng.random() < 0.45:
        second = first
        while second == first:
            second = _ask(rng, intent[meaning][form2], slots)
        return (first, second), 1.0
    kind = rng.choices(("slot", "meaning", "other"), weights=(25, 25, 50))[0]
    if kind == "slot":
        second = _ask(rng, intent[meaning][form2], _change_one(rng, intent[meaning][form2], slots))
    elif kind == "meaning":
        second = _ask(rng, intent[1 - meaning][form2], slots)
    else:
        other = rng.choice([each for each in INTENTS if each is not intent])
        kept = {"circumstance": slots["circumstance"]} if rng.random() < 0.5 else {}
        second = _ask(rng, rng.choice(rng.choice(other)), {**_fill(rng), **kept})
    return (first, second), 0.0


def _fill(rng: Random) -> dict[str, Names]:
    slots = {name: rng.choice(entities) for name, entities in SLOTS.items()}
    slots["city"], slots["city2"] = rng.sample(SLOTS["city"], 2)
    return slots


def _change_one(rng: Random, form: str, slots: dict[str, Names]) -> dict[str, Names]:
    """The slots with one of those that the question uses filled otherwise."""
    used = [name for name in SLOTS if "{" + name + "}" in form]
    name = rng.choice([*used, "circumstance"])
    taken = (slots["city"], slots["city2"]) if name.startswith("city") else (slots[name],)
    return {**slots, name: rng.choice([names for names in SLOTS[name] if names not in taken])}


def _ask(rng: Random, form: str, slots: dict[str, Names]) -> str:
    words = {name: rng.choice(names) for name, names in slots.items()}
    question = form.format(**words)
    circumstance = words["circumstance"]
    if rng.random() < 0.3:
        return f"{_capital(circumstance)}, {question}?"
    return f"{_capital(question)} {circumstance}?" if ":" not in question else f"{_capital(question)}, {circumstance}?"


# ---- sts -------------------------------------------------------------------------------------------------------------

SYNONYM, RELATIVE = 0.95, 0.45
"""How similar two names of one thing are, and two things of one group; the same word is 1, anything else 0."""


def sts(rng: Random) -> Sampled:
    """Two sentences and the weighted share of their content that agrees, 0.0..5.0."""
    write = rng.choices((_scenes, _headlines), weights=(65, 35))[0]
    return write(rng, rng.random())


def _scenes(rng: Random, closeness: float) -> Sampled:
    """Who does what to what, where. Verb and object change together when the kind of action changes."""
    agent, agent2, like_agent = _two(rng, AGENTS, closeness)
    place, place2, like_place = _two(rng, PLACES, closeness)
    verbs, objects = world = rng.choice(ACTIONS)
    verb, verb2, like_verb = _two(rng, [verbs], closeness)
    thing, thing2, like_thing = _two(rng, objects, closeness)
    if rng.random() > closeness + 0.3:
        verbs, objects = rng.choice([each for each in ACTIONS if each is not world])
        verb2, thing2 = rng.choice(rng.choice(verbs)), rng.choice(rng.choice(rng.choice(objects)))
        like_verb = like_thing = 0.0
    score = 1.0 * like_agent + 1.75 * like_verb + 1.5 * like_thing + 0.75 * like_place
    return (_scene(rng, agent, verb, thing, place), _scene(rng, agent2, verb2, thing2, place2)), score


def _scene(rng: Random, agent: str, verb: str, thing: str, place: str) -> str:
    forms = (
        f"{agent} is {verb} {thing} {place}.",
        f"{place}, {agent} is {verb} {thing}.",
        f"there is {agent} {verb} {thing} {place}.",
    )
    return _capital(rng.choices(forms, weights=(50, 20, 30))[0])


def _headlines(rng: Random, closeness: float) -> Sampled:
    """Which company does what to how many of what, where."""
    company, company2, like_company = _two(rng, [COMPANIES], closeness)
    move, move2, like_move = _two(rng, MOVES, closeness)
    asset, asset2, like_asset = _two(rng, ASSETS, closeness)
    number, number2, like_number = _two(rng, [SLOTS["n"]], closeness)
    city, city2, like_city = _two(rng, [[names] for names in SLOTS["city"]], closeness)
    score = 1.0 * like_company + 1.75 * like_move + 1.0 * like_asset + 0.5 * like_number + 0.75 * like_city
    return (_headline(rng, company, move, number, asset, city), _headline(rng, company2, move2, number2, asset2, city2)), score


def _headline(rng: Random, company: str, move: str, number: str, asset: str, city: str) -> str:
    forms = (
        f"{company} {move} {number} {asset} in {city}",
        f"in {city}, {company} {move} {number} {asset}",
        f"{company} {move} {number} {asset} in the {city} area, a spokesman says",
    )
    return _capital(rng.choices(forms, weights=(60, 20, 20))[0])


def _two(rng: Random, groups: Groups, closeness: float) -> tuple[str, str, float]:
    """A word, another one that is the closer the nearer `closeness` is to 1, and how similar the two are."""
    group = rng.choice(groups)
    names = rng.choice(group)
    word = rng.choice(names)
    if rng.random() < closeness:
        other = rng.choice(names)
        return word, other, 1.0 if other == word else SYNONYM
    strangers = [each for each in groups if each is not group]
    if strangers and rng.random() < 0.6:
        return word, rng.choice(rng.choice(rng.choice(strangers))), 0.0
    relatives = [each for each in group if each is not names]
    return (word, rng.choice(rng.choice(relatives)), RELATIVE) if relatives else (word, word, 1.0)


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
