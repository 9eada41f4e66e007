"""All that is wrong, told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from model.config import ConfigError

T = TypeVar("T")


@dataclass
class Problems:
    """The sentences of everything that is wrong."""

    sentences: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[..., T], *needs: object) -> T:
        """The value of `step(*needs)`.

        Where the step fails, its problems are kept, and where what it needs failed, it is left out. The value is None then,
        and must be used in other attempts alone before `raise_any`.
        """
        if any(need is None for need in needs):
            return cast(T, None)
        try:
            return step(*needs)
        except ConfigError as error:
            self.sentences.extend(error.problems)
            return cast(T, None)

    def raise_any(self) -> None:
        if self.sentences:
            raise ConfigError(list(dict.fromkeys(self.sentences)))
