"""The data of a trial: read from files, the hub or the demo corpus, split, tokenised once and assembled into batches.

`model.data.source` is the entry point. Importing this package is cheap; datasets and tokenizers are imported where used.
"""
