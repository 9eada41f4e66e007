"""CMA-ES, an evolution strategy for continuous parameters; choices are drawn at random."""

from optuna.samplers import CmaEsSampler

from tuner.study.samplers.base import Sampler, SamplerSettings


def _make(settings: SamplerSettings) -> CmaEsSampler:
    return CmaEsSampler(seed=settings.fresh_seed, n_startup_trials=settings.n_startup, warn_independent_sampling=False)


SAMPLER = Sampler("CMA-ES over the numbers; choices are drawn at random", _make, has_model=True, several_goals=False)
