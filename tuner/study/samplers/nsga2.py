"""NSGA-II (Deb et al. 2002), an evolutionary algorithm."""

from optuna.samplers import NSGAIISampler

from tuner.study.samplers.base import Sampler, SamplerSettings


def _make(settings: SamplerSettings) -> NSGAIISampler:
    """A generation is as long as the random start of the others, so that a short search has some."""
    return NSGAIISampler(seed=settings.fresh_seed, population_size=max(settings.n_startup, 4))


SAMPLER = Sampler("the evolutionary algorithm NSGA-II", _make, has_model=True, constraints=True)
