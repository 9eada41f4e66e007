"""A trial trained again from its record alone: `python -m tuner reproduce RUN [--trial N]`.

`recorded` reads what is to be trained and what it came to, `retrain` trains it through the gangs of a search, and `verdict`
compares.
"""
