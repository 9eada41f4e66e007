"""Random sampling."""

from optuna.samplers import RandomSampler

from tuner.study.samplers.base import Sampler

SAMPLER = Sampler("random", lambda settings: RandomSampler(seed=settings.fresh_seed), has_model=False)
