"""Words of the demo corpus's sentence pairs (`demo_pairs.py`). Everything here was written for this project."""

from __future__ import annotations

# ---- questions (quora) -----------------------------------------------------------------------------------------------

SKILLS = (
    ("the violin", "violin playing"),
    ("Portuguese", "the Portuguese language"),
    ("chess", "the game of chess"),
    ("bookkeeping", "basic accounting"),
    ("watercolour painting", "painting in watercolours"),
    ("carpentry", "woodworking"),
    ("Japanese", "the Japanese language"),
    ("touch typing", "typing without looking"),
    ("statistics", "statistical analysis"),
    ("archery", "shooting with a bow"),
)
"""Two names for each: how paraphrases vary an entity. The same holds below."""
THINGS = (
    ("a used car", "a second-hand automobile"),
    ("an electric bicycle", "an e-bike"),
    ("a laptop", "a notebook computer"),
    ("a sofa", "a couch"),
    ("a flat", "an apartment"),
    ("a sewing machine", "a machine for sewing"),
    ("a mobile phone", "a cell phone"),
    ("a fridge", "a refrigerator"),
    ("a film camera", "an analogue camera"),
    ("a piano", "an upright piano"),
)
CITIES = ("Lyon", "Porto", "Osaka", "Nairobi", "Toronto", "Leipzig", "Mumbai", "Bogota", "Glasgow", "Perth", "Krakow", "Austin")
JOBS = (
    ("a nurse", "a hospital nurse"),
    ("a pilot", "an airline pilot"),
    ("a lawyer", "an attorney"),
    ("a teacher", "a schoolteacher"),
    ("a software developer", "a programmer"),
    ("a translator", "a professional translator"),
    ("a pharmacist", "a chemist in a pharmacy"),
    ("a welder", "a metal welder"),
)
AILMENTS = (
    ("back pain", "a sore back"),
    ("insomnia", "trouble sleeping"),
    ("hay fever", "a pollen allergy"),
    ("a headache", "an aching head"),
    ("a cold", "a runny nose"),
    ("a sore throat", "a throat infection"),
)
NUMBERS = ("two", "three", "four", "six", "eight", "ten", "twelve")
CIRCUMSTANCES = (
    "as a student",
    "on a small budget",
    "without a car",
    "at the age of fifty",
    "with two small children",
    "while working full time",
    "after moving abroad",
    "during the winter",
    "without any help",
    "in the middle of a divorce",
)

INTENTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        (
            "how can I learn {skill} in {n} weeks",
            "what is the best way to pick up {skill} within {n} weeks",
            "is {n} weeks enough to learn {skill}, and how",
            "which method works for studying {skill} in only {n} weeks",
        ),
        (
            "how can I teach {skill} in {n} weeks",
            "what is the best way to give lessons in {skill} within {n} weeks",
            "is {n} weeks enough to teach {skill}, and how",
            "which method works for teaching others {skill} in only {n} weeks",
        ),
    ),
    (
        (
            "where can I buy {thing} in {city}",
            "which shops in {city} have {thing} on offer",
            "what is a good place to purchase {thing} around {city}",
            "I live in {city} and want {thing}: where should I look",
        ),
        (
            "where can I sell {thing} in {city}",
            "which shops in {city} will take {thing} off my hands",
            "what is a good place to find a buyer for {thing} around {city}",
            "I live in {city} and want to get rid of {thing}: where should I go",
        ),
    ),
    (
        (
            "how much does {thing} cost in {city}",
            "what is the price of {thing} in {city}",
            "how expensive is {thing} around {city}",
            "what should I expect to pay for {thing} in {city}",
        ),
        (
            "how much does it cost to repair {thing} in {city}",
            "what is the price of fixing {thing} in {city}",
            "how expensive is the repair of {thing} around {city}",
            "what should I expect to pay to have {thing} mended in {city}",
        ),
    ),
    (
        (
            "how do I become {job} in {city}",
            "what does it take to work as {job} in {city}",
            "which steps lead to a career as {job} around {city}",
            "I would like to be {job} in {city}: where do I start",
        ),
        (
            "how do I hire {job} in {city}",
            "what does it take to employ {job} in {city}",
            "which steps lead to finding {job} for my firm around {city}",
            "I would like to take on {job} in {city}: where do I start",
        ),
    ),
    (
        (
            "what should I eat when I have {ailment} for {n} days",
            "which foods help against {ailment} that lasts {n} days",
            "after {n} days of {ailment}, what is good to eat",
            "is there a diet that eases {ailment} after {n} days",
        ),
        (
            "what should I not eat when I have {ailment} for {n} days",
            "which foods make {ailment} that lasts {n} days worse",
            "after {n} days of {ailment}, what is bad to eat",
            "is there a food to avoid with {ailment} after {n} days",
        ),
    ),
    (
        (
            "how long does the train from {city} to {city2} take",
            "how many hours is the rail journey from {city} to {city2}",
            "going from {city} to {city2} by rail, how much time do I need",
            "what is the travel time by train to {city2} from {city}",
        ),
        (
            "how long does the train from {city2} to {city} take",
            "how many hours is the rail journey from {city2} to {city}",
            "going from {city2} to {city} by rail, how much time do I need",
            "what is the travel time by train to {city} from {city2}",
        ),
    ),
    (
        (
            "why do so many people move to {city} to work as {job}",
            "what draws people to {city} to start as {job}",
            "what makes {city} popular with anyone hoping to be {job}",
            "for what reasons would {job} settle in {city}",
        ),
        (
            "why do so few people move to {city} to work as {job}",
            "what keeps people from going to {city} to start as {job}",
            "what makes {city} unpopular with anyone hoping to be {job}",
            "for what reasons would {job} leave {city}",
        ),
    ),
)
"""Questions that are easily mistaken for each other: two meanings over the same slots, each with its paraphrases."""

# ---- scenes and headlines (sts) --------------------------------------------------------------------------------------

AGENTS = (
    (("a man", "a guy"), ("a woman", "a lady"), ("an old man", "an elderly man"), ("a tall woman", "a tall lady")),
    (("a boy", "a young boy"), ("a girl", "a young girl"), ("a child", "a kid"), ("a toddler", "a small child")),
    (("a chef", "a cook"), ("a waiter", "a server"), ("a baker", "a bread maker"), ("a butcher", "a meat cutter")),
    (("a police officer", "a cop"), ("a soldier", "a military man"), ("a fireman", "a firefighter"), ("a guard", "a watchman")),
)
"""Groups of relatives; each member with a synonym. The same holds for the objects and places below."""

ACTIONS: tuple[tuple[tuple[tuple[str, str], ...], tuple[tuple[tuple[str, str], ...], ...]], ...] = (
    (
        (("slicing", "cutting up"), ("washing", "rinsing"), ("cooking", "preparing"), ("eating", "having")),
        (
            (("a potato", "a spud"), ("an onion", "a bulb of onion"), ("a carrot", "a raw carrot")),
            (("some fish", "a piece of fish"), ("some beef", "a cut of beef"), ("some bacon", "strips of bacon")),
        ),
    ),
    (
        (("carrying", "lugging"), ("painting", "putting paint on"), ("repairing", "fixing"), ("pushing", "shoving")),
        (
            (("a bicycle", "a bike"), ("a cart", "a wagon"), ("a motorcycle", "a motorbike")),
            (("a table", "a wooden table"), ("a sofa", "a couch"), ("a cupboard", "a cabinet")),
        ),
    ),
    (
        (("playing", "performing on"), ("tuning", "adjusting"), ("selling", "offering for sale"), ("cleaning", "wiping down")),
        (
            (("a violin", "a fiddle"), ("a guitar", "an acoustic guitar"), ("a harp", "a concert harp")),
            (("a drum", "a hand drum"), ("a trumpet", "a brass trumpet"), ("a flute", "a wooden flute")),
        ),
    ),
)
"""Worlds of actions, each with its verbs and its groups of objects."""

PLACES = (
    (("in the kitchen", "inside a kitchen"), ("in the cellar", "down in the basement"), ("in the hallway", "in a corridor")),
    (("on the beach", "by the sea"), ("in the park", "in a public garden"), ("beside the river", "on a riverbank")),
    (
        ("in the street", "on the road"),
        ("at the market", "among market stalls"),
        ("outside the station", "in front of a station"),
    ),
)

COMPANIES = (("Halden Foods", "the grocer Halden"), ("Norvik Air", "the airline Norvik"), ("Castor Bank", "the lender Castor"))
MOVES = (
    (("opens", "launches"), ("closes", "shuts down"), ("sells", "disposes of"), ("buys", "acquires")),
    (
        ("inspects", "checks"),
        ("insures", "takes out cover for"),
        ("renames", "gives a new name to"),
        ("sues", "takes to court"),
    ),
)
ASSETS = (
    (("offices", "branches"), ("shops", "stores"), ("warehouses", "depots")),
    (("aircraft", "planes"), ("ferries", "boats"), ("lorries", "trucks")),
)
