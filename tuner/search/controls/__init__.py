"""Single-task controls: each task of a search trained alone, untuned and without SMART, for `--require no-negative-transfer`.

`control` configures them and caches their results; `stage` trains those that are not in the cache, before the first trial. They
are not trials of the study: no sampler learns from them, nothing prunes them, and none can be champion.
"""
