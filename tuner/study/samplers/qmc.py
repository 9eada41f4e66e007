"""Quasi-Monte Carlo sampling: a scrambled Sobol sequence."""

from optuna.samplers import QMCSampler, RandomSampler

from tuner.study.samplers.base import Sampler, SamplerSettings


def _make(settings: SamplerSettings) -> QMCSampler:
    # The sequence goes on where the study left it, so it keeps its seed; the study stores the position.
    independent = RandomSampler(seed=settings.fresh_seed)
    return QMCSampler(seed=settings.seed, scramble=True, independent_sampler=independent, warn_independent_sampling=False)


SAMPLER = Sampler("a scrambled Sobol sequence", _make, has_model=False)
