"""What DeepSpeed and the collectives are given, and the size of micro-batches. Importing this module does not load torch."""

from __future__ import annotations

from typing import Any

from model.config import TrialConfig, parse

TIMEOUT_S = 600.0
"""Default limit on the duration of a collective."""


def deepspeed_config(config: TrialConfig, world_size: int) -> dict[str, Any]:
    """DeepSpeed's JSON configuration. bf16 is autocast inside the loss, so weights and teacher stay float32."""
    return {
        "train_micro_batch_size_per_gpu": micro_batch(config, world_size),
        "gradient_accumulation_steps": config.optim.accumulation,
        "gradient_clipping": config.optim.clip_norm,
        "zero_optimization": {"stage": config.engine.zero_stage},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }


def micro_batch(config: TrialConfig, world_size: int) -> int:
    """Examples of one task in one forward pass of a rank."""
    return config.optim.batch_size // (world_size * config.optim.accumulation)


def with_smaller_micro_batch(config: TrialConfig, world_size: int) -> TrialConfig | None:
    """The same updates from micro-batches of half the size, or the next smaller divisor; None if the size is 1 already."""
    share = config.optim.batch_size // world_size
    twice = 2 * config.optim.accumulation
    finer = next((count for count in range(twice, share + 1) if share % count == 0), None)
    if finer is None:
        return None
    values = config.to_dict()
    return parse({**values, "optim": {**values["optim"], "accumulation": finer}})
