"""Data sets with a spurious cue: a word that agrees with the label in training and contradicts it in evaluation.

`python -m model.cues build` makes one from the cfimdb reviews; `python -m model.cues evaluate` measures how much a model relies
on the cue.
"""
