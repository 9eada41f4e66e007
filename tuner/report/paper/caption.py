"""The caption of our side of a table: data and settings of its trials, and where they differ from the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from model.tasks import TASKS
from tuner.report.paper.published import PUBLISHED, Table
from tuner.report.paper.trials import Trial, text_of
from tuner.results.text import GENERATED_NOTE, one_line

SMART = [label for label in PUBLISHED["settings"] if label.startswith("smart.")]


def settings_of(trial: Trial) -> dict[str, Any]:
    """A trial's settings by their label in the caption; None for a setting that it lacks or that has no effect on it."""
    config = trial.config
    budget, optim = config.get("budget", {}), config.get("optim", {})
    backbone = str(config["backbone"])
    if PurePath(backbone).name == PUBLISHED["settings"]["backbone"]:  # a hub name or a local folder of the paper's encoder
        backbone = PUBLISHED["settings"]["backbone"]
    has_pairs = any(TASKS[task].is_pair for task in trial.mixture)
    return {
        "backbone": "all-MiniLM-L6-v2 (embedded)" if backbone == "embedded" else backbone,
        "budget": next((f"{budget[unit]:g} {unit}" for unit in ("epochs", "examples") if budget.get(unit) is not None), None),
        "evaluations": budget.get("evaluations"),
        "batch size per task": optim.get("batch_size"),
        "learning rate": optim.get("lr") if trial.mode == "finetune" else None,
        "heads' learning rate": optim.get("head_lr"),
        "pair encoding": config.get("pair_encoding") if has_pairs else None,
        "pooling": config.get("pooling"),
        "max_length": config.get("max_length"),
        "mixing": config.get("mixing", {}).get("strategy") if len(trial.mixture) > 1 else None,
        **{label: config["smart"].get(label.removeprefix("smart.")) if trial.smart else None for label in SMART},
    }


def ours(trials: Sequence[Trial], data: Mapping[str, Any], table: Table) -> list[str]:
    """Sentences on data, settings, SMART and seeds of the trials of a table."""
    texts = {label: _by_mode(values) for label, values in _values(trials).items()}
    plain = [f"{label} {text}" for label, text in texts.items() if label not in SMART]
    smart = [f"{label.removeprefix('smart.')} {text}" for label, text in texts.items() if label in SMART]
    return [
        _data(data, table.tasks),
        *([GENERATED_NOTE] if data["generated"] else []),
        "; ".join(plain),
        *([f"SMART: {', '.join(smart)}"] if smart else []),
        f"seeds: {_seeds(trials)}",
    ]


def differences(trials: Sequence[Trial], data: Mapping[str, Any], table: Table) -> list[str]:
    """Where the trials of a table differ from the paper; settings that agree, or that the paper does not give, are left out."""
    sentences = _data_differences(data, table.tasks)
    for label, values in _values(trials).items():
        published = PUBLISHED["settings"].get(label)
        by_mode = published if isinstance(published, Mapping) else dict.fromkeys(values, published)
        papers = {mode: [text_of(by_mode[mode])] for mode in values if by_mode.get(mode) is not None}
        other = {mode: values[mode] for mode, paper in papers.items() if values[mode] != paper}
        if other:
            text = _by_mode(other, always_named=len(values) != len(other))
            sentences.append(f"{label}: {text} (the paper: {_by_mode({mode: papers[mode] for mode in other})})")
    if len({trial.seed for trial in trials}) > 1:
        sentences.append(f"seeds: {_seeds(trials)} (the paper: one)")
    return sentences


def _values(trials: Iterable[Trial]) -> dict[str, dict[str, list[str]]]:
    """The values of each setting as text, by label and mode; without settings that no trial has."""
    texts: dict[str, dict[str, set[str]]] = {}
    for trial in trials:
        for label, value in settings_of(trial).items():
            by_mode = texts.setdefault(label, {})
            if value is not None and value != {}:
                by_mode.setdefault(trial.mode, set()).add(one_line(text_of(value)))
    return {label: {mode: sorted(by_mode[mode]) for mode in sorted(by_mode)} for label, by_mode in texts.items() if by_mode}


def _by_mode(values: Mapping[str, Sequence[str]], always_named: bool = False) -> str:
    """`16`, or `1e-05 in finetune, 0.001 in pretrain`; several values of a mode are joined by `or`."""
    texts = {mode: " or ".join(each) for mode, each in values.items()}
    if len(set(texts.values())) == 1 and not always_named:
        return next(iter(texts.values()))
    return ", ".join(f"{text} in {mode}" for mode, text in texts.items())


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
    """Differences in the counts of rows; equal counts do not prove equal rows, so agreement is never claimed."""
    if data["generated"]:
        return ["data: generated (the paper: the full data of the course)"]
    rows = {task: data["rows"][task] for task in tasks if task in data["rows"]}
    sentences = []
    held = [task for task in rows if rows[task].get("select")]
    if held:
        sentences.append(
            f"training data: rows of select held out of {', '.join(held)} (the paper: the full data of the course)"
        )
    for task, counts in rows.items():
        n_dev = PUBLISHED["dev_rows"][task]
        if counts.get("dev") != n_dev:
            sentences.append(f"dev of {task}: {counts.get('dev', 'unknown')} rows (the course's: {n_dev})")
    return sentences


def _seeds(trials: Iterable[Trial]) -> str:
    return ", ".join(map(str, sorted({trial.seed for trial in trials})))
