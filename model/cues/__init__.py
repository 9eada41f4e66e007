"""A data set with a spurious cue: a word that goes with the label in training and against it when it counts.

`python -m model.cues build` makes it from the cfimdb reviews; `python -m model.cues evaluate` says how far a model leans on it.
"""
