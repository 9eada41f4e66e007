"""Repeats a training from its record: `python -m tuner reproduce RUN [--trial N]`.

`recorded` reads the training and its results, `retrain` trains it again on a gang, and `verdict` compares the results.
"""
