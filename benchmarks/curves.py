"""Recorded learning curves as a search space and a world: real sweeps on which searches can be simulated.

A folder holds one CSV file per set of `SETS`, one line per trial: the values of its settings and ten scores at even distances
(`score1` … `score10`, empty from where it diverged), or a list of checkpoints (`bleu_curve`), which is resampled to ten. A
configuration that a search proposes is answered with the curve and the cost of the nearest recorded trial that this search has
not seen (`Answers`). Distances are
Euclidean, each setting scaled to 0 … 1 over its recorded range and multiplied by its weight; the weights make a trial left out
of the record most alike its nearest neighbour (`leave_one_out`).

The space covers the recorded ranges. Times are scaled so that a trial of mean cost takes `TRIAL_S`.
"""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.trial import BaseTrial

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tuner.commands.simulate.clock import Course
from tuner.config.objective import Objective
from tuner.space.distributions import draw, draw_near, suggest
from tuner.space.parameters import Choice, Float, Int, Parameter

Row = Mapping[str, Any]
Numbers = npt.NDArray[np.float64]

N_EVALUATIONS = 10
TRIAL_S = 3600.0
"""Simulated seconds of a trial of mean cost: what the clock charges besides training is small in comparison."""
METRIC = "sst/accuracy"
"""The name under which studies see the score, whatever it is."""


def linear(value: float) -> float:
    return value


def log_of_rest(value: float) -> float:
    """For momentum: .9 and .99 are as far apart as .99 and .999."""
    return math.log(1 - value)


@dataclass(frozen=True)
class Setting:
    """A hyperparameter of a recorded set."""

    name: str
    kind: str
    """`log` or `linear` for numbers, `int`, or `choice` among the recorded values."""
    weight: float
    """Of its distance, over the recorded range."""
    scale: Callable[[float], float] | None = None
    """What distances are measured in, where it is not what `kind` says."""

    def parameter(self, recorded: Sequence[Any]) -> Parameter:
        """The recorded range as a parameter of a search."""
        low, high = min(recorded), max(recorded)
        if self.kind == "choice":
            return Choice(choice=tuple(sorted(set(recorded)))).named(self.name)
        if self.kind == "int":
            return Int(int=(low, high)).named(self.name)
        return Float(float=(low, high), log=self.kind == "log").named(self.name)

    def position(self, value: Any) -> float:
        """The value on the axis on which distances are measured."""
        scale = self.scale or (math.log if self.kind == "log" else linear)
        return scale(value)


@dataclass(frozen=True)
class SetOfCurves:
    """How to read a file."""

    file: str
    settings: tuple[Setting, ...]
    cost: Callable[[Row], float]
    """Of a whole trial, in any unit."""
    default: Mapping[str, Any]
    """What a user would begin with: published values for this kind of model, not tuned."""
    is_part: Callable[[Row], bool] = lambda row: True
    """Whether a line belongs to the set."""


BASES = {"bloomz": 0.0, "xglm": 1.0}
_DEBERTA = SetOfCurves(
    "",
    (
        Setting("optim.lr", "log", 1.0),
        Setting("budget.epochs", "int", 0.3),
        Setting("optim.batch_size", "int", 0.1),
        Setting("optim.warmup", "linear", 0.1),
        Setting("optim.dropout", "linear", 0.1),
    ),
    lambda row: float(row["budget.epochs"]),
    {"budget.epochs": 3, "optim.batch_size": 32, "optim.lr": 2e-5, "optim.warmup": 0.1, "optim.dropout": 0.1},
)
_IMAGENET = SetOfCurves(
    "",
    (
        Setting("lr", "log", 1.0),
        Setting("weight_decay", "log", 0.7),
        Setting("momentum", "linear", 0.7, log_of_rest),
        Setting("epochs", "int", 0.35),
        Setting("batch_size", "choice", 0.25, math.log),
        Setting("lr_peak_share", "linear", 0.08),
        Setting("label_smoothing", "linear", 0.06),
    ),
    lambda row: float(row["seconds"]),
    {
        "epochs": 90, "batch_size": 256, "lr": 0.1, "lr_peak_share": 0.05, "momentum": 0.9, "weight_decay": 1e-4,
        "label_smoothing": 0.1,
    },
)  # fmt: skip
SETS = {
    "deberta": replace(_DEBERTA, file="deberta-mnli.csv"),
    "deberta-v3": replace(_DEBERTA, file="deberta-v3-mnli.csv"),
    "convnext": replace(_IMAGENET, file="convnext-imagenet.csv"),
    "alexnet": replace(
        _IMAGENET,
        file="alexnet-imagenet.csv",
        default={**_IMAGENET.default, "lr": 0.01, "batch_size": 128, "weight_decay": 5e-4, "label_smoothing": 0.01},
    ),
    "nmtlc": SetOfCurves(
        "nmtlc-finetune.csv",
        (
            Setting("base", "choice", 2.0, lambda base: BASES[str(base)]),
            Setting("model_size", "choice", 2.0, math.log),
            Setting("lr", "choice", 1.0, math.log),
            Setting("batch_size", "choice", 0.5, math.log),
            Setting("lora_rank", "choice", 0.5, math.log),
        ),
        lambda row: row["model_size"] * row["batch_size"] * float(len(row["bleu_curve"].split())),
        {"base": "bloomz", "model_size": 2048, "lora_rank": 16, "batch_size": 32, "lr": 1e-4},
        lambda row: bool(row["dataset"] == "fr-en"),
    ),
}


@dataclass(frozen=True)
class RecordedConfig:
    """A configuration of a recorded set."""

    values: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return dict(self.values)


@dataclass(frozen=True)
class RecordedSpace:
    """The recorded ranges: what `tuner.study.Study` uses of a `tuner.space.Space`."""

    name: str
    parameters: tuple[Parameter, ...]
    start: tuple[Mapping[str, Any], ...] = ()
    """Configurations that a search tries first."""
    confidences: tuple[float, ...] = ()
    """Of each of them: the share of the first draws that are made around it."""

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        return {p.name: suggest(trial, p.name, p.distributions(())[p.name]) for p in self.parameters}

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """A random assignment."""
        return {p.name: draw(p.distributions(())[p.name], rng) for p in self.parameters}

    def draw_near(self, start: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
        """A random assignment around another."""
        return {p.name: draw_near(p.distributions(())[p.name], start[p.name], rng) for p in self.parameters}

    def values(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        return dict(assignment)

    def parse(self, values: Mapping[str, Any]) -> RecordedConfig:
        """The configuration of some values; a study's seed is no part of it."""
        return RecordedConfig({p.name: values[p.name] for p in self.parameters})

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "search": {p.name: p.to_dict() for p in self.parameters}}


@dataclass(frozen=True)
class RecordedTrial:
    """A trial of a recorded set."""

    config: RecordedConfig
    scores: tuple[float, ...]
    """At its ten evaluations; NaN from where it diverged."""
    cost_s: float
    """Simulated seconds of the whole trial."""
    compute: float
    """Of the whole trial, 1 for the mean."""

    @property
    def score(self) -> float:
        """Its final score; NaN where it failed."""
        return self.scores[-1]

    @property
    def duration_s(self) -> float:
        """Until it ends, by itself or by failing."""
        n_finite = next((index for index, score in enumerate(self.scores) if math.isnan(score)), N_EVALUATIONS - 1)
        return self.cost_s * (n_finite + 1) / N_EVALUATIONS


@dataclass(frozen=True)
class RecordedWorld:
    """A recorded set: its trials, its space, and which trial is near which configuration."""

    name: str
    settings: tuple[Setting, ...]
    trials: tuple[RecordedTrial, ...]
    space: RecordedSpace
    default: Mapping[str, Any]
    objective: Objective = field(default_factory=lambda: Objective(METRIC))

    @cached_property
    def best(self) -> float:
        """The best recorded final score."""
        return max(trial.score for trial in self.trials if not math.isnan(trial.score))

    @cached_property
    def target(self) -> float:
        """The final score of the trial at the border of the best 5 %, failed trials counted."""
        ranked = sorted((trial.score for trial in self.trials if not math.isnan(trial.score)), reverse=True)
        return ranked[min(max(math.ceil(0.05 * len(self.trials)), 1), len(ranked)) - 1]

    def starting_at(self, start: Mapping[str, Any], confidence: float) -> RecordedSpace:
        """The space of searches that begin with a configuration and draws around it."""
        return replace(self.space, start=(start,), confidences=(confidence,))

    @cached_property
    def worst(self) -> Mapping[str, Any]:
        """The recorded configuration of the worst trial that did not fail: a wrong start."""
        sound = [trial for trial in self.trials if not math.isnan(trial.score)]
        return min(sound, key=lambda trial: trial.score).config.values

    def nearest(self, config: RecordedConfig, used: Collection[int] = ()) -> int:
        """The place of the nearest recorded trial that is not among `used`, or of the nearest where all are."""
        distances = np.square(self._scaled - self._point(config)).sum(axis=1)
        if len(used) < len(self.trials):
            distances[list(used)] = np.inf
        return int(distances.argmin())

    def leave_one_out(self) -> float:
        """Spearman's ρ between the final scores of trials and of their nearest neighbours; a failed trial scores worst."""
        from scipy.stats import spearmanr

        distances = np.square(self._scaled[:, None] - self._scaled[None]).sum(axis=2)
        np.fill_diagonal(distances, np.inf)
        scores = np.nan_to_num(np.array([trial.score for trial in self.trials]), nan=-1.0)
        return float(spearmanr(scores, scores[distances.argmin(axis=1)]).statistic)

    def _point(self, config: RecordedConfig) -> Numbers:
        low, width = self._range
        return (self._positions(config) - low) / width * [setting.weight for setting in self.settings]

    @cached_property
    def _scaled(self) -> Numbers:
        return np.array([self._point(trial.config) for trial in self.trials])

    @cached_property
    def _range(self) -> tuple[Numbers, Numbers]:
        """Lowest position and width of each setting."""
        positions = np.array([self._positions(trial.config) for trial in self.trials])
        width = np.ptp(positions, axis=0)
        return positions.min(axis=0), np.where(width > 0, width, 1.0)

    def _positions(self, config: RecordedConfig) -> Numbers:
        return np.array([setting.position(config.values[setting.name]) for setting in self.settings])


@dataclass
class Answers:
    """A recorded set as `tuner.commands.simulate.clock.World`, for one search: proposals are answered with recorded trials."""

    world: RecordedWorld
    has_reuse: bool = False
    """Whether a recorded trial can answer several proposals. Where it cannot, the next nearest answers: a sampler that draws
    closer and closer to its best trial would else be given that one for ever."""
    used: dict[str, int] = field(default_factory=dict)
    """The trial that answered a configuration, by the latter as text: the same one is always answered alike."""

    @property
    def objective(self) -> Objective:
        return self.world.objective

    @property
    def best(self) -> float:
        return self.world.best

    def course(self, config: RecordedConfig) -> Course:
        key = repr(sorted(config.values.items()))
        if key not in self.used:
            self.used[key] = self.world.nearest(config, () if self.has_reuse else self.used.values())
        trial = self.world.trials[self.used[key]]
        evaluations = tuple(_evaluation(trial, index) for index in range(1, N_EVALUATIONS + 1))
        return Course(evaluations, trial.score)


def _evaluation(trial: RecordedTrial, index: int) -> Evaluation:
    share = index / N_EVALUATIONS
    metrics = {METRIC: trial.scores[index - 1]}
    return Evaluation(
        index, N_EVALUATIONS, index, N_EVALUATIONS, index, metrics, {}, share * trial.cost_s, compute=share * trial.compute
    )


def load(folder: Path, name: str) -> RecordedWorld:
    """A set of `SETS`. Raises `ConfigError` when the file is not there or is not such a file."""
    known, path = SETS[name], folder / SETS[name].file
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in map(_typed, csv.DictReader(file)) if known.is_part(row)]
        costs = [known.cost(row) for row in rows]
        mean = sum(costs) / len(costs)
        configs = [{setting.name: row[setting.name] for setting in known.settings} for row in rows]
        trials = tuple(
            RecordedTrial(RecordedConfig(config), _curve(row), cost / mean * TRIAL_S, cost / mean)
            for row, config, cost in zip(rows, configs, costs, strict=True)
        )
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError([f"{path} is not a file of recorded curves: {type(error).__name__} {error}"]) from error
    parameters = tuple(setting.parameter([config[setting.name] for config in configs]) for setting in known.settings)
    return RecordedWorld(name, known.settings, trials, RecordedSpace(name, parameters), known.default)


def load_all(folder: Path, names: Iterable[str]) -> list[RecordedWorld]:
    """The sets of these names. Raises `ConfigError`."""
    if not folder.is_dir():
        raise ConfigError([f"there is no folder {folder}"])
    return [load(folder, name) for name in names]


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """A line of CSV with numbers as numbers; `bleu_curve` stays text."""
    return {name: text if name == "bleu_curve" else _number(text) for name, text in row.items()}


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or math.nan


def _curve(row: Row) -> tuple[float, ...]:
    """Ten scores, 0 … 1; BLEU is out of 100."""
    if "bleu_curve" not in row:
        return tuple(float(row[f"score{index}"]) for index in range(1, N_EVALUATIONS + 1))
    recorded = [float(text) / 100 for text in row["bleu_curve"].split()]
    looks = [math.ceil(index * len(recorded) / N_EVALUATIONS) for index in range(1, N_EVALUATIONS + 1)]
    return tuple(recorded[look - 1] for look in looks)
