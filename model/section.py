"""Building blocks of the schema: number types with a range, frozen sections, and the error that lists every problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

LONGEST = 200
"""Characters of a user's text that a message shows."""


class ConfigError(ValueError):
    """A configuration that cannot run. `problems` holds a sentence for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def shown(text: object) -> str:
    """A user's text for a message: unprintable characters replaced, the middle of a long text left out."""
    plain = "".join(character if character.isprintable() else "\ufffd" for character in str(text))
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]}…{plain[-LONGEST // 2 + 1 :]}"


class Section(BaseModel):
    """A part of the schema: frozen, unknown keys are errors.

    A number may be given as text, because YAML 1.1 reads `1e-5` (without a point) as text. A boolean is not a number: YAML
    reads `lr: on` as true, which would otherwise become 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_by_name=True, serialize_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            name = field.alias or info.field_name
            raise ValueError(f"{name} is not a boolean, given {value} (YAML reads yes, no, on and off as booleans: use quotes)")
        return value


def describe_choices(registry: Mapping[str, Any]) -> str:
    """The entries of a registry in one sentence, from the `description` of each."""
    return "; ".join(f"`{name}` {entry.description}" for name, entry in registry.items()) + "."
