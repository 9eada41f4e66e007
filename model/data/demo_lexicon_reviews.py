"""Words of the demo corpus's reviews (`demo_reviews.py`). Everything here was written for this project."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES: dict[int, tuple[str, ...]] = {
    2: _words(
        "superb dazzling masterful magnificent unforgettable exquisite extraordinary breathtaking flawless brilliant "
        "glorious astonishing electrifying sublime triumphant ravishing"
    ),
    1: _words(
        "charming pleasant likeable clever warm engaging tender witty graceful lively thoughtful amusing agreeable "
        "sincere nimble appealing"
    ),
    0: _words("ordinary conventional familiar average unremarkable middling passable routine serviceable standard"),
    -1: _words(
        "dull clumsy predictable thin uneven tired slack bland forgettable muddled stiff sluggish shallow strained "
        "awkward murky"
    ),
    -2: _words(
        "dreadful appalling unbearable atrocious insufferable wretched abysmal excruciating hideous disastrous "
        "unwatchable grotesque lamentable insulting worthless horrendous"
    ),
}
"""Adjectives by valence, from -2 (very negative) to 2 (very positive)."""

STRENGTHEN = ("deeply", "truly", "thoroughly", "remarkably", "consistently", "exceptionally")
SOFTEN = ("slightly", "somewhat", "a little", "mildly", "faintly", "rather")

ASPECTS = (
    *_words("acting plot script pacing dialogue photography ending score editing casting humour direction premise narration"),
    *("first half", "final act", "set design", "lead performance", "love story", "opening scene"),
)
GENRES = ("comedy", "thriller", "western", "romance", "documentary", "heist film", "ghost story", "road movie", "costume drama")
SETTINGS = (
    "a mining town",
    "wartime Lisbon",
    "a lighthouse",
    "a failing hotel",
    "the Arctic",
    "a boarding school",
    "a travelling circus",
)
HEROES = ("a retired boxer", "two sisters", "a nervous clerk", "a young violinist", "a widowed farmer", "three old thieves")
DEEDS = (
    "look for a lost letter",
    "plan one last theft",
    "fall out over a will",
    "hide a stranger",
    "cross the mountains on foot",
)
DIRECTORS = ("Marlow", "Okafor", "Lindqvist", "Beaumont", "Takeda", "Ferrante", "Novak", "Ashdown", "Castellanos", "Whitby")

PRAISE = (
    "I was moved more than once",
    "I would happily see it again tomorrow",
    "the whole room laughed in the right places",
    "every scene earns its place",
    "it stays with you for days",
    "my attention never wandered",
)
COMPLAINTS = (
    "I looked at my watch more than once",
    "half the audience had left by then",
    "not one joke lands",
    "nobody seems to know what the story is about",
    "it feels twice as long as it is",
    "my attention was gone by the second reel",
)

VERDICTS: dict[int, tuple[str, ...]] = {
    1: (
        "In the end I was glad that I stayed to the last frame",
        "All told, do yourself a favour and see it",
        "Weighing it all up, this one deserves your evening",
        "I came out grinning and have told all my friends to go",
        "For me the good outweighs the rest by a wide margin",
        "It won me over, and I did not expect that",
        "I have already booked tickets to see it a second time",
        "Whatever its faults, I would not have missed it",
    ),
    -1: (
        "In the end I wished that I had stayed at home",
        "All told, do yourself a favour and skip it",
        "Weighing it all up, this one does not deserve your evening",
        "I came out yawning and have told all my friends to stay away",
        "For me the bad outweighs the rest by a wide margin",
        "It lost me early, and I did not expect that",
        "I would have asked for my money back had the box office been open",
        "Whatever its merits, I could not wait for it to finish",
    ),
}
"""Last sentences of a review, by sign: they decide it, whatever was said before."""
