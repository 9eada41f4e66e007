"""Command-line options for which a space may name defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuner.config.options import PRUNER_NAMES, SAMPLER_NAMES


class Options(BaseModel):
    """Defaults of a search; an absent one is left to the command line's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trials: Annotated[int, Field(ge=1)] | None = None
    """Full trials whose compute a search may use."""
    max_trials: Annotated[int, Field(ge=1)] | None = None
    """Trials at most, however early they end."""
    sampler: Literal[SAMPLER_NAMES] | None = None  # type: ignore[valid-type]
    pruner: Literal[PRUNER_NAMES] | None = None  # type: ignore[valid-type]
    finalists: Annotated[int, Field(ge=0)] | None = None
    """Best trials that are trained again on fresh seeds, besides the untuned default; 0 leaves the confirmation out."""
    seeds: Annotated[int, Field(ge=1)] | None = None
    """Fresh seeds of each finalist."""
    workers_per_trial: Annotated[int, Field(ge=1)] | None = None
    """DeepSpeed ranks of one trial."""
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None
    """GPUs of one rank; a fraction lets ranks share one."""
