"""What every part of the schema is made of: numbers with a range, closed sections, and the error that lists what is wrong."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class ConfigError(ValueError):
    """A configuration that cannot run. `problems` holds one sentence for each thing that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Section(BaseModel):
    """Frozen and closed to unknown keys.

    A number may be written as text, because YAML 1.1 reads `1e-5` (without a point) as text. A switch is no number: YAML reads
    `lr: on` as true, which would otherwise become 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_by_name=True, serialize_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _switch_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            name = field.alias or info.field_name
            raise ValueError(f"{name} is no switch, given {value} (YAML reads yes, no, on and off so: use quotes)")
        return value
