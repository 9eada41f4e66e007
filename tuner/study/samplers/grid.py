"""Grid search in a random order: the study enqueues the points, and only what a start configuration leaves open is drawn."""

from optuna.samplers import RandomSampler

from tuner.study.samplers.base import Sampler

SAMPLER = Sampler(
    "every point of the grid once, in a random order", lambda settings: RandomSampler(seed=settings.fresh_seed), has_model=False
)
