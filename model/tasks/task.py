"""The description of a task. A new task is a file beside this one and a line in `__init__.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from model.metrics import metric_names


@dataclass(frozen=True)
class HubSource:
    """A task's data set on the public hub, and its column names there."""

    path: str
    """Repository of the data set, such as `nyu-mll/glue`."""
    config: str | None
    text_columns: tuple[str, ...]
    label_column: str
    splits: tuple[str, str]
    """Names of the train and the dev split there."""
    id_column: str | None = None


@dataclass(frozen=True)
class Task:
    """A supervised task over one sentence or a pair of them."""

    name: str
    kind: Literal["classification", "regression"]
    text_columns: tuple[str, ...]
    """Columns of the text(s) in the tab-separated layout: one, or two for a pair."""
    label_column: str
    label_range: tuple[float, float]
    """Smallest and largest legal label; classes are the integers between them."""
    train_file: str
    dev_file: str
    hub: HubSource
    label_names: tuple[str, ...] = field(default=())
    """Names of the classes, for `model.predict`."""

    @property
    def is_pair(self) -> bool:
        return len(self.text_columns) == 2

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for a regression."""
        return 1 if self.kind == "regression" else int(self.label_range[1]) + 1

    @property
    def metric(self) -> str:
        """The task's main metric under its full name: `sst/accuracy`, `sts/pearson`."""
        return metric_names(self)[0]
