"""Single-task controls: each task of a search trained alone, untuned and without SMART, for `--require no-negative-transfer`.

`control` says what they are and keeps what they reached, `stage` trains those that nobody has trained yet, before the search's
first trial. They are no trials of the study: no sampler learns from them, nothing prunes them, and none can be champion.
"""
