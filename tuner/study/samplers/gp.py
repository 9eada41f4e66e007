"""Bayesian optimisation with a Gaussian process."""

from optuna.samplers import GPSampler

from tuner.study.samplers.base import Sampler, SamplerSettings


def _make(settings: SamplerSettings) -> GPSampler:
    return GPSampler(seed=settings.fresh_seed, n_startup_trials=settings.n_startup, warn_independent_sampling=False)


SAMPLER = Sampler(
    "Bayesian optimisation with a Gaussian process", _make, has_model=True, constraints=True, most_points=1_000_000
)
