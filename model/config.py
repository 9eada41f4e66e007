"""The schema of a trial, shared by search spaces, the command line, MLflow's parameters, checkpoints and the champion.

Every section is frozen and rejects unknown keys. `parse` turns a nested mapping into a `TrialConfig` and reports all problems
at once, each with the value given and the nearest valid name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from model.data.file_contents import read_yaml
from model.section import ConfigError, NonNegativeFloat, PositiveFloat, Probability, Section, shown
from model.smart.config import SMALLEST_EPSILON, SmartConfig
from model.strategies import MixingConfig
from model.tasks import TASKS

__all__ = ["SMALLEST_EPSILON", "ConfigError", "MixingConfig", "SmartConfig"]  # of other modules, imported from here

Watched = Literal["train", "dev", "clean", "placebo", "aligned", "inverted", "both", "dev-clean", "dev-placebo", "dev-aligned",
                  "dev-inverted", "dev-both"]  # fmt: skip
NO_ARMS = ("train", "dev")
"""Watched splits that every data set has; the others are the arms of a cue data set."""
PairEncoding = Literal["concat_pooled", "cosine", "cross"]


class OptimConfig(Section):
    """AdamW with linear warm-up, then decay to zero."""

    lr: PositiveFloat = 2e-5
    """Peak learning rate of the encoder."""
    head_lr: PositiveFloat = 1e-3
    """Peak learning rate of the task heads."""
    warmup: Probability = 0.1
    """Share of the updates over which the learning rates rise linearly from 0."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """Schedule of the learning rates after the warm-up."""
    weight_decay: NonNegativeFloat = 0.01
    """AdamW's weight decay, of matrices only."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    """Examples of one task in one update, over all ranks and accumulation steps."""
    accumulation: Annotated[int, Field(ge=1, le=1024)] = 1
    """Micro-batches into which a rank's share of `batch_size` is split."""
    clip_norm: NonNegativeFloat = 1.0
    """Largest global gradient norm; 0 turns clipping off."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Dropout probability of the encoder and before the heads."""


class BudgetConfig(Section):
    """How long a trial trains and how often it is evaluated. Exactly one of `epochs` and `examples` is set."""

    epochs: PositiveFloat | None = None
    """Passes over the largest task of the mixture."""
    examples: Annotated[int, Field(ge=1)] | None = None
    """Training examples over all tasks: the same work for every mixture and batch size."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 10
    """Evenly spaced evaluations; the last one is at the end and gives the score."""
    early_eval_examples: Annotated[int, Field(ge=1)] | None = None
    """Examples per task in all but the last evaluation: a fixed, stratified subset of the split; absent means all."""

    @model_validator(mode="after")
    def _one_unit(self) -> BudgetConfig:
        if (self.epochs is None) == (self.examples is None):
            raise ValueError("set exactly one of budget.epochs and budget.examples")
        return self


class EngineConfig(Section):
    """The settings of DeepSpeed."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` is autocast within the loss; weights, optimiser and teacher stay float32."""
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 0
    """What is partitioned over the ranks: nothing, optimiser states (1), also gradients (2), also weights (3)."""
    allow_zero3: bool = False
    """Required for ZeRO-3. It trains heads that a step does not use on stale gradients, so it needs `loop_to_max`, and it leaks
    memory, so its ranks are restarted for each trial."""

    @model_validator(mode="after")
    def _zero3_is_explicit(self) -> EngineConfig:
        if self.zero_stage == 3 and not self.allow_zero3:
            raise ValueError(
                "zero_stage is 3: it reuses stale gradients of heads that a step does not use and leaks memory between trials; "
                "use 0, 1 or 2, or set engine.allow_zero3: true"
            )
        return self


class TrialConfig(Section):
    """Everything that determines a trial's result, apart from the data."""

    backbone: str = "embedded"
    """`embedded` (all-MiniLM-L6-v2), a folder, or the name of an encoder on the hub, such as a BERT, RoBERTa or DeBERTa-v2."""
    mixture: Annotated[tuple[str, ...], Field(min_length=1)] = ("sst", "quora", "sts")
    """The tasks trained together."""
    mode: Literal["finetune", "pretrain"] = "finetune"
    """`finetune` trains all weights, `pretrain` only the heads on a frozen encoder."""
    pair_encoding: PairEncoding = "cosine"
    """How a pair is encoded: both texts in one sequence (`cross`), or separately, with a head on both vectors
    (`concat_pooled`) or on their cosine (`cosine`)."""
    pooling: Literal["cls", "mean"] = "mean"
    """The vector of a text: the pooler's output at its first token (`cls`), or the mean over its tokens (`mean`)."""
    max_length: Annotated[int, Field(ge=8, le=512)] = 128
    """Tokens of one sequence, special tokens included; longer ones are truncated."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of heads, batches, noise and dropout."""
    watch: tuple[Watched, ...] = ()
    """Splits that every evaluation measures completely, besides `select`: `dev` gives `dev/sst/accuracy` and so on. Others
    are train and the arms of a cue data set (`python -m model.cues build`) of select's reviews or, with `dev-`, of dev's."""
    mixing: MixingConfig = MixingConfig()
    smart: SmartConfig = SmartConfig()
    optim: OptimConfig = OptimConfig()
    budget: BudgetConfig = BudgetConfig(epochs=3.0)
    engine: EngineConfig = EngineConfig()

    @field_validator("mixture")
    @classmethod
    def _tasks_exist(cls, mixture: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in mixture if name not in TASKS]
        if unknown:
            raise ValueError(f"mixture names {', '.join(unknown)}; the tasks are {', '.join(TASKS)}")
        if len(set(mixture)) != len(mixture):
            raise ValueError(f"mixture names a task twice: {', '.join(mixture)}; name it once")
        return mixture

    @model_validator(mode="after")
    def _sections_agree(self) -> TrialConfig:
        problems = [
            *self._mixing_problems(),
            *self.smart.problems(self.engine.precision),
            *self._task_setting_problems(),
            *self._zero3_problems(),
        ]
        if problems:
            raise ConfigError(problems)
        return self

    def _mixing_problems(self) -> list[str]:
        mixing, tasks = self.mixing, ", ".join(self.mixture)
        problems = []
        if mixing.strategy == "ratios" and set(mixing.ratios) != set(self.mixture):
            problems.append(f"mixing.ratios needs exactly the tasks of the mixture ({tasks})")
        elif mixing.strategy == "ratios" and abs(sum(mixing.ratios.values()) - 1.0) > 1e-6:
            problems.append(f"mixing.ratios sums to {sum(mixing.ratios.values()):g}; it must sum to 1")
        if mixing.loss_weights == "explicit" and set(mixing.weights) != set(self.mixture):
            problems.append(f"mixing.weights needs exactly the tasks of the mixture ({tasks})")
        return problems

    def _task_setting_problems(self) -> list[str]:
        settings = {"task_lambda": self.smart.task_lambda.given(), "task_epsilon": self.smart.task_epsilon.given()}
        return [
            f"smart.{name}.{task} is set, but the mixture ({', '.join(self.mixture)}) lacks {task}; remove it, "
            "or in a space give it a `when` on the mixture"
            for name, numbers in settings.items()
            for task in numbers
            if task not in self.mixture
        ]

    def _zero3_problems(self) -> list[str]:
        if self.engine.zero_stage < 3 or self.mixing.trains_all_tasks:
            return []
        return [
            f"engine.zero_stage 3 with mixing.strategy {self.mixing.strategy}: heads that a step does not use would train on "
            "stale gradients; use mixing.strategy: loop_to_max, or zero_stage 0, 1 or 2"
        ]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of a cue data set among the watched splits."""
        return tuple(split for split in self.watch if split not in NO_ARMS)

    def gang_problems(self, world_size: int) -> list[str]:
        """Why `world_size` ranks cannot share a batch equally: a sentence, or an empty list."""
        shares = world_size * self.optim.accumulation
        if self.optim.batch_size % shares == 0:
            return []
        return [
            f"optim.batch_size {self.optim.batch_size} does not divide over {world_size} rank(s) × "
            f"{self.optim.accumulation} micro-batch(es); use a multiple of {shares}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """The nested mapping of plain JSON values that `parse` reads back."""
        return self.model_dump(mode="json", exclude_none=True)


def field_names(section: type[BaseModel] = TrialConfig, prefix: str = "") -> dict[str, Any]:
    """Dotted names of all settings as users write them (`smart.lambda`), with their pydantic fields."""
    names: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        dotted = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names.update(field_names(field.annotation, f"{dotted}."))
        else:
            names[dotted] = field
    return names


def nearest(name: str, valid: list[str]) -> str:
    """` (did you mean X?)`, or the empty string if no valid name is similar."""
    by_leaf = [candidate for candidate in valid if candidate.rpartition(".")[2] == name.rpartition(".")[2]]
    close = by_leaf or difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


SHAPES = {
    "model_type": "must be a mapping of settings",
    "dict_type": "must be a mapping from tasks to numbers",
    "tuple_type": "must be a list, such as [sst, sts]",
    "too_short": "must not be empty",
}
"""Rules that pydantic words in terms of Python rather than YAML."""


def describe(error: ValidationError) -> list[str]:
    """A sentence for each problem that pydantic found: the setting, the rule, the value given."""
    valid = list(field_names())
    sentences: list[str] = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            sentences.append(f"unknown setting {shown(where)}{nearest(where, valid)}")
        elif item["type"] == "value_error":
            sentences += str(item["ctx"]["error"]).splitlines()
        else:
            sentences.append(f"{where}: {rule_of(item)}")
    return sentences


def rule_of(item: ErrorDetails, shapes: Mapping[str, str] = SHAPES) -> str:
    """The rule that a value breaks, in terms of YAML, and the value."""
    rule = shapes.get(item["type"]) or item["msg"][0].lower() + item["msg"][1:]
    return f"{rule}, given {shown(repr(item['input']))}"


def parse(values: Mapping[str, Any]) -> TrialConfig:
    """Validate a nested mapping as a `TrialConfig`. Raises `ConfigError` with all problems."""
    try:
        return TrialConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from None


def load(path: Path) -> TrialConfig:
    """Read a trial's configuration from a YAML file. Raises `ConfigError`, naming the file."""
    try:
        values = read_yaml(path)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]  # the config.yaml of a saved model
    if not isinstance(values, dict):
        raise ConfigError([f"{path} must hold a mapping of settings, such as `optim: {{lr: 2.0e-5}}`"])
    try:
        return parse(values)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None
