"""The result of a search in Python: a typed, read-only view of results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError, TrialConfig, nearest, parse
from model.tasks import TASKS
from tuner.results import results_json

if TYPE_CHECKING:
    import pandas

    from model.predict import Prediction
    from model.saved_model.folder import SavedModel

CHAMPION, FAILED, WRONG_USAGE, SHORT, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_STATUSES = {
    CHAMPION: "there is a champion",
    FAILED: "the search failed, and the commonest reason is printed",
    WRONG_USAGE: "wrong usage, with every problem, and nothing written",
    SHORT: "no trial, or no finalist on fresh seeds, meets what `--require` asks; the champion is the nearest",
    INTERRUPTED: "interrupted (Ctrl-C), with the command that goes on",
}
"""Exit statuses of a search."""


@dataclass(frozen=True)
class TrialResult:
    """One trial that has ended."""

    number: int
    state: str
    """`COMPLETE`, `PRUNED` or `FAIL`."""
    score: float | None
    """The first goal on select at the last evaluation; None for a failed trial."""
    metrics: Mapping[str, float]
    """`task/metric` at the last evaluation."""
    evaluations: Sequence[Mapping[str, Any]]
    """Each evaluation's `step`, `score`, `metrics`, `seconds`, `health` and `compute`."""
    seconds: float
    reason: str | None
    """Why it was pruned or failed."""
    same_as: int | None
    """The trial whose configuration it repeats, so that it was not trained."""
    raw: Mapping[str, Any] = field(repr=False)
    """Its entry in results.json."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> TrialResult:
        names = ("number", "state", "score", "metrics", "evaluations", "seconds", "reason", "same_as")
        return cls(**{name: entry[name] for name in names}, raw=entry)

    @property
    def config(self) -> TrialConfig:
        """Raises `ConfigError` for a trial that failed because its configuration was refused."""
        return parse(self.raw["config"])


@dataclass(frozen=True)
class ChampionResult:
    """The best trial, or the untuned default, with its saved model."""

    number: int | None
    """None where the untuned default won and no trial had its configuration."""
    score: float
    metrics: Mapping[str, float]
    """On select, which the champion was chosen on."""
    dev: Mapping[str, float] | None
    """On dev, which nothing was chosen on; None where the search was interrupted."""
    feasible: bool
    """Whether it meets the requirements (`require`)."""
    path: Path
    """Folder of its model."""
    raw: Mapping[str, Any] = field(repr=False)
    """`champion` of results.json."""

    @property
    def config(self) -> TrialConfig:
        return parse(self.raw["config"])

    @cached_property
    def model(self) -> SavedModel:
        """The model, read on first use. Raises `ConfigError` when its folder is incomplete."""
        from model.saved_model import folder as saved_model

        return saved_model.read(self.path)

    def predict(self, task: str, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Prediction]:
        """Predictions for texts, or for pairs of texts, in order. Raises `ConfigError` for an unknown task or wrong texts."""
        from model import predict

        mixture = list(self.raw["config"]["mixture"])
        if task not in mixture:
            raise ConfigError([f"this model was not trained on {task}{nearest(task, mixture)}; it knows {', '.join(mixture)}"])
        rows = [tuple(text) if isinstance(text, tuple | list) else (text,) for text in texts]
        n_texts = len(TASKS[task].text_columns)
        right = [len(row) == n_texts and all(isinstance(text, str) and text.strip() for text in row) for row in rows]
        if isinstance(texts, str) or not all(right):
            each = "a pair of texts" if TASKS[task].is_pair else "a text"
            where = "" if isinstance(texts, str) else f", and item {right.index(False)} is none"
            raise ConfigError([f"{task} takes a list with {each} that is not empty for each prediction{where}"])
        chunks = (rows[start : start + predict.LINES_AT_ONCE] for start in range(0, len(rows), predict.LINES_AT_ONCE))
        return [prediction for chunk in chunks for prediction in predict.predict(self.model, task, chunk)]


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended, or was interrupted."""

    path: Path
    """Its folder."""
    raw: Mapping[str, Any] = field(repr=False)
    """The contents of results.json."""

    @classmethod
    def read(cls, path: str | Path) -> SearchResult:
        """The result of the run in a folder. Raises `ConfigError` when there is none."""
        folder = Path(path).expanduser().absolute()
        return cls(folder, results_json.read(folder / results_json.FILE_NAME))

    @property
    def exit_status(self) -> int:
        """As the command line's: 0 a champion, 1 none, 3 one that misses the requirements, 130 interrupted."""
        return exit_status(self.raw)

    @cached_property
    def trials(self) -> tuple[TrialResult, ...]:
        """Every trial that has ended, by number."""
        return tuple(map(TrialResult.of, self.raw["trials"]))

    @cached_property
    def champion(self) -> ChampionResult | None:
        entry = self.raw["champion"]
        if entry is None:
            return None
        names = ("number", "score", "metrics", "feasible")
        return ChampionResult(**{n: entry[n] for n in names}, dev=entry.get("dev"), path=self.path / "champion", raw=entry)

    @property
    def front(self) -> tuple[TrialResult, ...]:
        """The non-dominated trials under several goals."""
        return tuple(trial for trial in self.trials if trial.number in self.raw["front"])

    def to_frame(self) -> pandas.DataFrame:
        """One row per trial, by number: state, score, metrics, then every setting by its dotted name."""
        import pandas

        from tuner.results.text import dotted

        rows = [
            {"number": trial.number, "state": trial.state, "score": trial.score, "seconds": trial.seconds}
            | dict(trial.metrics)
            | {
                name: "+".join(map(str, value)) if isinstance(value, list) else value
                for name, value in dotted(trial.raw["config"]).items()
            }
            | {"reason": trial.reason}
            for trial in self.trials
        ]
        return pandas.DataFrame(rows).set_index("number") if rows else pandas.DataFrame()

    def __str__(self) -> str:
        from tuner.results.text import champion_name, number_text

        champion = self.champion
        outcome = f"champion {champion_name(champion.raw)}, score {number_text(champion.score)}" if champion else "no champion"
        return f"{self.raw['name']}: {len(self.trials)} trials, {outcome}, in {self.path}"


def exit_status(results: Mapping[str, Any]) -> int:
    """The exit status of a search, from the contents of its results.json."""
    if results["finished"] is None:
        return INTERRUPTED
    if results["champion"] is None:
        return FAILED
    return CHAMPION if results["champion"]["feasible"] else SHORT
