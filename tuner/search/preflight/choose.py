"""Which configurations of a space are measured, by arithmetic: the one that needs most memory, and a few along the cost."""

from __future__ import annotations

from collections.abc import Sequence

from model import mixing
from model.config import TrialConfig
from model.data.source import DataSummary
from model.engine.out_of_memory import micro_batch
from model.smart.config import cost_in_plain_steps
from tuner.search.preflight import estimate


def n_steps(config: TrialConfig, summary: DataSummary) -> int:
    """Updates of a trial."""
    sizes = {task: summary.rows[task]["train"] for task in config.mixture}
    return mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)


def work(config: TrialConfig, summary: DataSummary) -> float:
    """Arithmetic of an update: tokens × the cost of a step in plain ones, in expectation."""
    examples = estimate.training_examples(config, summary)
    lengths = {task: min(2 + estimate.TOKENS_PER_WORD * summary.words[task], 2 * config.max_length) for task in examples}
    tokens = sum(n * lengths[task] for task, n in examples.items())
    frozen = 1 / 3 if config.mode == "pretrain" else 1.0  # no backward pass through the encoder
    return tokens / n_steps(config, summary) * cost_in_plain_steps(config.smart) * frozen


def memory(config: TrialConfig, n_workers: int) -> float:
    """Activations that an update holds at once, up to a factor: tokens of a micro-batch over its graphs."""
    together = len(config.mixture) if config.mixing.trains_all_tasks else 1
    graphs = 1 + config.smart.is_smoothing
    sides = 1 if config.pair_encoding == "cross" else 2
    return micro_batch(config, n_workers) * sides * config.max_length * together * graphs


def largest(samples: Sequence[TrialConfig], n_workers: int) -> TrialConfig:
    """The configuration that needs most memory; under equals the one that keeps a teacher."""
    return max(samples, key=lambda sample: (memory(sample, n_workers), sample.smart.enabled and sample.smart.mu > 0))


def along_the_cost(samples: Sequence[TrialConfig], summary: DataSummary) -> list[TrialConfig]:
    """For each pair encoding the median by the work of an update, the dearest and the cheapest; medians first."""
    by_encoding: dict[str, list[TrialConfig]] = {}
    for sample in sorted(samples, key=lambda sample: work(sample, summary)):
        by_encoding.setdefault(sample.pair_encoding, []).append(sample)
    picked = [[ordered[len(ordered) // 2], ordered[-1], ordered[0]] for _, ordered in sorted(by_encoding.items())]
    found: list[TrialConfig] = []
    for place in range(3):
        found += [three[place] for three in picked if three[place] not in found]
    return found
