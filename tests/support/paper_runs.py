"""Hand-made results of the paper's trainings, as a search writes them: what the tests of the report are fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.config import TrialConfig
from model.section import Section
from model.tasks import TASKS
from tests.support import samples
from tuner.results.trial_record import TrialRecord

ROWS = {
    "sst": {"train": 7240, "select": 804, "dev": 1101},
    "quora": {"train": 14591, "select": 1621, "dev": 2000},
    "sts": {"train": 5076, "select": 564, "dev": 863},
    "cfimdb": {"train": 1401, "select": 156, "dev": 245, "dev-inverted": 245},
}
MIXTURES = (("sst",), ("quora",), ("sts",), ("sst", "quora", "sts"), ("sst", "quora"), ("quora", "sts"))


def config(mixture: Sequence[str], smart: bool, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A configuration as results.json has it; `changes` are settings by section, such as `optim={"lr": 3e-5}`."""
    plain = TrialConfig(mixture=tuple(mixture), seed=seed)
    sections = {"smart": {"enabled": smart}} | changes
    whole = {
        name: getattr(plain, name).model_copy(update=value) if isinstance(getattr(plain, name), Section) else value
        for name, value in sections.items()
    }
    return plain.model_copy(update=whole).to_dict()


def paper_config(mixture: Sequence[str], smart: bool, seed: int = 0, mode: str = "finetune") -> dict[str, Any]:
    """A configuration that agrees with the paper in everything that is known of it."""
    lr = 1e-5 if mode == "finetune" else 1e-3
    return config(
        mixture,
        smart,
        seed,
        mode=mode,
        backbone="bert-base-uncased",
        pair_encoding="concat_pooled",
        optim={"lr": lr, "head_lr": lr, "batch_size": 8},
        budget={"epochs": 10.0, "examples": None, "evaluations": 10},
    )


def trial(
    number: int, settings: dict[str, Any], scores: Sequence[float] | Sequence[dict[str, float]], **changes: Any
) -> TrialRecord:
    """A trial whose evaluations score `scores` on dev: one number for every task, or dictionaries of metrics."""
    names = [TASKS[task].metric for task in settings["mixture"]]
    looks = [score if isinstance(score, dict) else {f"dev/{name}": score for name in names} for score in scores]
    evaluations = [
        {"step": 10 * i, "score": 0.9, "metrics": dict.fromkeys(names, 0.9) | look, "seconds": 1.0 * i}
        for i, look in enumerate(looks, start=1)
    ]
    record = samples.record(
        number, config=settings, evaluations=evaluations, metrics=evaluations[-1]["metrics"] if looks else {}
    )
    return replace(record, **changes)


def run(folder: Path, records: Sequence[TrialRecord], **changes: Any) -> dict[str, Any]:
    """results.json of a run of these trials."""
    facts = samples.facts(folder, space="paper_table2", data_source=changes.pop("source", "corpus"))
    return samples.results(facts, list(records), None, **{"rows": ROWS} | changes)


def full_run(folder: Path, seeds: int = 3, **changes: Any) -> dict[str, Any]:
    """All trainings in finetune mode, with scores that differ by task, SMART, seed and evaluation."""
    base = {"sst": 0.50, "quora": 0.80, "sts": 0.86, "cfimdb": 0.93}
    records = []
    for mixture in MIXTURES:
        for smart in (False, True):
            for seed in range(seeds):
                gain = 0.004 * seed + 0.003 * smart * (1 + seed)
                looks = [
                    {f"dev/{TASKS[task].metric}": base[task] + gain - 0.01 * abs(step - 2) for task in mixture}
                    for step in range(4)
                ]
                records.append(trial(len(records), config(mixture, smart, seed), looks))
    return run(folder, records, **changes)
