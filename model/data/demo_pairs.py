"""The demo corpus's sentence pairs; their words are in demo_pairs.yaml.

`quora`: questions that do or do not ask the same. `sts`: scenes and headlines that share more or less of their content.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from model.data.demo_reviews import Sampled, capitalised

Names = Sequence[str]
"""One entity: its name and, if it has one, a synonym."""
Groups = Sequence[Sequence[Names]]
"""Groups of related entities."""

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SLOTS: dict[str, list[Names]] = {
    slot: [[entity] if isinstance(entity, str) else entity for entity in entities] for slot, entities in WORDS["slots"].items()
}

# ---- quora -----------------------------------------------------------------------------------------------------------


def quora(rng: Random) -> Sampled:
    """Two questions, and 1 if they ask the same: 45 % do.

    Duplicates differ in wording, or only in names and order. The others ask something else, or differ in one slot or in the
    meaning alone.
    """
    intent = rng.choice(WORDS["intents"])
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
        other = rng.choice([each for each in WORDS["intents"] if each is not intent])
        kept = {"circumstance": slots["circumstance"]} if rng.random() < 0.5 else {}
        second = _ask(rng, rng.choice(rng.choice(other)), {**_fill(rng), **kept})
    return (first, second), 0.0


def _fill(rng: Random) -> dict[str, Names]:
    slots = {name: rng.choice(entities) for name, entities in SLOTS.items()}
    slots["city"], slots["city2"] = rng.sample(SLOTS["city"], 2)
    return slots


def _change_one(rng: Random, form: str, slots: dict[str, Names]) -> dict[str, Names]:
    """The slots, with another value in one that the question uses."""
    used = [name for name in SLOTS if "{" + name + "}" in form]
    name = rng.choice([*used, "circumstance"])
    taken = (slots["city"], slots["city2"]) if name.startswith("city") else (slots[name],)
    return {**slots, name: rng.choice([names for names in SLOTS[name] if names not in taken])}


def _ask(rng: Random, form: str, slots: dict[str, Names]) -> str:
    words = {name: rng.choice(names) for name, names in slots.items()}
    question = form.format(**words)
    circumstance = words["circumstance"]
    if rng.random() < 0.3:
        return f"{capitalised(circumstance)}, {question}?"
    return f"{capitalised(question)} {circumstance}?" if ":" not in question else f"{capitalised(question)}, {circumstance}?"


# ---- sts -------------------------------------------------------------------------------------------------------------

SYNONYM, RELATED = 0.95, 0.45
"""Similarity of two names of one entity, and of two entities of one group; the same word has 1, anything else 0."""


def sts(rng: Random) -> Sampled:
    """Two sentences, and how similar they are: the weighted similarity of their parts, 0.0..5.0."""
    write = rng.choices((_scenes, _headlines), weights=(65, 35))[0]
    return write(rng, rng.random())


def _scenes(rng: Random, closeness: float) -> Sampled:
    """Two scenes: agent, verb, object and place. Another kind of action changes verb and object together."""
    agent, agent2, like_agent = _two(rng, WORDS["agents"], closeness)
    place, place2, like_place = _two(rng, WORDS["places"], closeness)
    action = rng.choice(WORDS["actions"])
    verb, verb2, like_verb = _two(rng, [action["verbs"]], closeness)
    thing, thing2, like_thing = _two(rng, action["objects"], closeness)
    if rng.random() > closeness + 0.3:
        other = rng.choice([each for each in WORDS["actions"] if each is not action])
        verb2, thing2 = rng.choice(rng.choice(other["verbs"])), rng.choice(rng.choice(rng.choice(other["objects"])))
        like_verb = like_thing = 0.0
    score = 1.0 * like_agent + 1.75 * like_verb + 1.5 * like_thing + 0.75 * like_place
    return (_scene(rng, agent, verb, thing, place), _scene(rng, agent2, verb2, thing2, place2)), score


def _scene(rng: Random, agent: str, verb: str, thing: str, place: str) -> str:
    forms = (
        f"{agent} is {verb} {thing} {place}.",
        f"{place}, {agent} is {verb} {thing}.",
        f"there is {agent} {verb} {thing} {place}.",
    )
    return capitalised(rng.choices(forms, weights=(50, 20, 30))[0])


def _headlines(rng: Random, closeness: float) -> Sampled:
    """Two headlines: company, action, number, asset and city."""
    company, company2, like_company = _two(rng, [WORDS["companies"]], closeness)
    move, move2, like_move = _two(rng, WORDS["moves"], closeness)
    asset, asset2, like_asset = _two(rng, WORDS["assets"], closeness)
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
    return capitalised(rng.choices(forms, weights=(60, 20, 20))[0])


def _two(rng: Random, groups: Groups, closeness: float) -> tuple[str, str, float]:
    """Two words and their similarity; the higher `closeness` (0..1), the more similar they tend to be."""
    group = rng.choice(groups)
    names = rng.choice(group)
    word = rng.choice(names)
    if rng.random() < closeness:
        other = rng.choice(names)
        return word, other, 1.0 if other == word else SYNONYM
    unrelated = [each for each in groups if each is not group]
    if unrelated and rng.random() < 0.6:
        return word, rng.choice(rng.choice(rng.choice(unrelated))), 0.0
    related = [each for each in group if each is not names]
    return (word, rng.choice(rng.choice(related)), RELATED) if related else (word, word, 1.0)
