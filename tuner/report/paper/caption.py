"""What our side of a table was trained with and on, and where that differs from the paper, both read from the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from model.tasks import TASKS
from tuner.report.paper import published
from tuner.report.paper.published import Table
from tuner.report.paper.trials import Trial, text_of
from tuner.results.text import GENERATED_NOTE, one_line


@dataclass(frozen=True)
class Setting:
    """A setting of a trial that the caption names."""

    label: str
    value: Callable[[Mapping[str, Any]], object]
    """Its value in a configuration; None where the configuration has none."""
    paper: Callable[[str], object] = lambda mode: None
    """The paper's value in a mode; None where the paper's is not known."""
    applies: Callable[[Trial], bool] = lambda trial: True


def of(section: str, name: str) -> Callable[[Mapping[str, Any]], object]:
    """Reads one setting of a section; an empty mapping is none."""
    return lambda config: value if (value := config.get(section, {}).get(name)) != {} else None


def always(value: object) -> Callable[[str], object]:
    """The paper's value in every mode."""
    return lambda mode: value


def backbone(config: Mapping[str, Any]) -> str:
    """The encoder's name: a hub name or a folder that ends with the paper's is the paper's."""
    name = str(config["backbone"])
    if PurePath(name).name == published.BACKBONE:
        return published.BACKBONE
    return "all-MiniLM-L6-v2 (embedded)" if name == "embedded" else name


def budget(config: Mapping[str, Any]) -> str | None:
    """`10 epochs`, or `4000 examples`."""
    found = config.get("budget", {})
    return next((f"{found[unit]:g} {unit}" for unit in ("epochs", "examples") if found.get(unit) is not None), None)


def has_pairs(trial: Trial) -> bool:
    return any(TASKS[task].is_pair for task in trial.mixture)


SETTINGS = (
    Setting("backbone", backbone, always(published.BACKBONE)),
    Setting("budget", budget, always(published.BUDGET)),
    Setting("evaluations", of("budget", "evaluations"), always(published.N_EVALUATIONS)),
    Setting("batch size per task", of("optim", "batch_size"), always(published.BATCH_SIZE)),
    Setting("learning rate", of("optim", "lr"), published.LR.get, lambda trial: trial.mode == "finetune"),
    Setting("heads' learning rate", of("optim", "head_lr"), published.LR.get),
    Setting("pair encoding", lambda config: config.get("pair_encoding"), always(published.PAIR_ENCODING), has_pairs),
    Setting("pooling", lambda config: config.get("pooling")),
    Setting("max_length", lambda config: config.get("max_length")),
    Setting("mixing", of("mixing", "strategy"), always(published.MIXING), lambda trial: len(trial.mixture) > 1),
    *(
        Setting(f"smart.{name}", of("smart", name), always(value), lambda trial: trial.smart)
        for name, value in published.SMART.items()
    ),
    *(
        Setting(f"smart.{name}", of("smart", name), always("none"), lambda trial: trial.smart)
        for name in ("task_lambda", "task_epsilon")
    ),
)


def ours(trials: Sequence[Trial], data: Mapping[str, Any], table: Table) -> list[str]:
    """Sentences on data, settings, SMART and seeds of the trials that stand in a table."""
    told = {setting.label: text for setting in SETTINGS if (text := _by_mode(_values(setting, trials)))}
    plain = [f"{label} {text}" for label, text in told.items() if not label.startswith("smart.")]
    smart = [f"{label.removeprefix('smart.')} {text}" for label, text in told.items() if label.startswith("smart.")]
    lines = [
        _data(data, _tasks(table)),
        "; ".join(plain),
        f"SMART: {', '.join(smart)}" if smart else "",
        f"seeds: {_seeds(trials)}",
    ]
    if data["generated"]:
        lines.insert(1, GENERATED_NOTE)
    return [line for line in lines if line]


def differences(trials: Sequence[Trial], data: Mapping[str, Any], table: Table) -> list[str]:
    """Where the trials of a table differ from the paper; what agrees, or is not known of the paper, is not listed."""
    found = [*_data_differences(data, _tasks(table))]
    for setting in SETTINGS:
        values = _values(setting, trials)
        papers = {mode: text_of(setting.paper(mode)) for mode in values if setting.paper(mode) is not None}
        other = {mode: values[mode] for mode, paper in papers.items() if values[mode] != [paper]}
        if other:
            told = _by_mode(other) if len(values) == len(other) else _by_mode(other, always_named=True)
            found.append(f"{setting.label}: {told} (the paper: {_by_mode({mode: [papers[mode]] for mode in other})})")
    if len({trial.seed for trial in trials}) > 1:
        found.append(f"seeds: {_seeds(trials)} (the paper: one)")
    return found


def _values(setting: Setting, trials: Iterable[Trial]) -> dict[str, list[str]]:
    """By mode, the values that a setting has, as text."""
    found: dict[str, set[str]] = {}
    for trial in trials:
        value = setting.value(trial.config) if setting.applies(trial) else None
        if value is not None:
            found.setdefault(trial.mode, set()).add(one_line(text_of(value)))
    return {mode: sorted(texts) for mode, texts in sorted(found.items())}


def _by_mode(values: Mapping[str, Sequence[str]], always_named: bool = False) -> str:
    """`16`, or `1e-05 in finetune, 0.001 in pretrain`; several values of a mode are parted by `or`."""
    texts = {mode: " or ".join(each) for mode, each in values.items()}
    if len(set(texts.values())) == 1 and not always_named:
        return next(iter(texts.values()))
    return ", ".join(f"{text} in {mode}" for mode, text in texts.items())


def _tasks(table: Table) -> list[str]:
    return list(dict.fromkeys(column.task for column in table.columns))


def _data(data: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """`data DIR (sha256 6ca1…): sst 7240 train, 804 select, 1101 dev; …`."""
    rows = [
        f"{task} " + ", ".join(f"{n} {split}" for split, n in data["rows"][task].items())
        for task in tasks
        if task in data["rows"]
    ]
    kind = "generated" if data["generated"] else "not generated"
    return f"data {one_line(data['source'])} ({kind}, sha256 {data['sha256'][:12]}): {'; '.join(rows)}"


def _data_differences(data: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    """What the counts of rows give away; equal counts do not prove equal rows, so agreement is never claimed."""
    if data["generated"]:
        return ["data: generated (the paper: the full data of the course)"]
    rows = {task: data["rows"][task] for task in tasks if task in data["rows"]}
    found = []
    held = [task for task in rows if rows[task].get("select")]
    if held:
        found.append(f"training data: rows of select held out of {', '.join(held)} (the paper: the full data of the course)")
    for task, counts in rows.items():
        if counts.get("dev") != published.DEV_ROWS[task]:
            found.append(f"dev of {task}: {counts.get('dev', 'unknown')} rows (the course's: {published.DEV_ROWS[task]})")
    return found


def _seeds(trials: Iterable[Trial]) -> str:
    return ", ".join(map(str, sorted({trial.seed for trial in trials})))
