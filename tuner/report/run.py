"""What a report is made from: a run as its folder tells of it, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.tasks import TASKS

if TYPE_CHECKING:
    from tuner.study import Importance

Trial = Mapping[str, Any]
"""An entry of `trials` in results.json; of one that trains, with the state RUNNING."""


@dataclass(frozen=True)
class Run:
    """One search, finished or not."""

    results: Mapping[str, Any]
    """As in results.json."""
    stage: str
    """`finished`, `searching`, or `interrupted`."""
    trials: Sequence[Trial]
    """All of them by number, also those that train; repeats among them."""
    events: Sequence[Mapping[str, Any]] = ()
    """Of timeline.jsonl."""
    importance: Importance | None = None
    importance_note: str | None = None
    """Why there is none."""
    links: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Each trial's MLflow run: its id and address."""
    links_note: str | None = None
    """What must be known of them: why there are none, or what serves them."""
    command: str = ""
    """What does the search again."""
    written: str = ""
    """When the report was made, ISO 8601."""
    now: float | None = None
    """The same in seconds since 1970: the end of what still runs."""

    @property
    def counted(self) -> list[Trial]:
        """The trials that were trained, without repeats."""
        return [trial for trial in self.trials if trial.get("same_as") is None]

    @property
    def complete(self) -> list[Trial]:
        return [trial for trial in self.counted if trial["state"] == "COMPLETE" and trial["score"] is not None]

    @property
    def champion(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.results["champion"]
        return found

    @property
    def champion_number(self) -> int | None:
        """None without a champion, and where the untuned default won, which is no trial."""
        number = None if self.champion is None else self.champion["number"]
        return None if number is None else int(number)

    @property
    def rows(self) -> Mapping[str, Mapping[str, int]]:
        """`rows[task][split]`; empty where it is not known."""
        found: Mapping[str, Mapping[str, int]] = self.results["data"]["rows"] or {}
        return found


def tasks_of(trials: Sequence[Trial]) -> list[str]:
    """Tasks that any of the trials trained, in the project's order."""
    seen = {task for trial in trials for task in trial["config"].get("mixture", ())}
    return [task for task in TASKS if task in seen]
