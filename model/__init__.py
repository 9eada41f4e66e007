"""One trial: a multitask fine-tune of a BERT-like encoder with SMART regularisation.

This package knows torch, transformers and DeepSpeed, and nothing of Ray, Optuna or MLflow: `python -m model.train` runs
a single configuration on a bare machine. Importing the package itself is cheap; torch is imported by the modules that compute.
"""
