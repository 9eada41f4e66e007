"""What DeepSpeed and the collectives are given. Importing this module does not load torch."""

from __future__ import annotations

from typing import Any

from model.config import TrialConfig

TIMEOUT_S = 600.0
"""Default limit on the duration of a collective."""


def deepspeed_config(config: TrialConfig, world_size: int) -> dict[str, Any]:
    """DeepSpeed's JSON configuration. bf16 is autocast inside the loss, so weights and teacher stay float32."""
    return {
        "train_micro_batch_size_per_gpu": config.optim.batch_size // world_size // config.optim.accumulation,
        "gradient_accumulation_steps": config.optim.accumulation,
        "gradient_clipping": config.optim.clip_norm,
        "zero_optimization": {"stage": config.engine.zero_stage},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }
