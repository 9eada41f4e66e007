"""Exports a run's champion: an encoder that plain transformers loads, its heads, and a model card.

An export is written only if it predicts what the champion does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.data import source
from model.metrics import interval
from model.smart.alarms import MEANINGS
from model.tasks import TASKS
from tuner.results import results_json
from tuner.results.confirmation_text import sentences
from tuner.results.text import GENERATED_NOTE, number_text, one_line

if TYPE_CHECKING:
    from model.saved_model.comparison import Comparison

CARD = "README.md"
TEMPLATE = Path(__file__).with_name("model_card.jinja")
"""The model card, for jinja2."""
ORIGINS = {"embedded": "sentence-transformers/all-MiniLM-L6-v2"}
"""Hub names of backbones that have another name here."""
N_COMPARED = 8
"""Select rows of each task on which an export is compared with its champion."""


def export(run: Path, target: Path) -> Comparison:
    """Write the champion of the run in folder `run` to `target`, atomically. Returns the comparison that it has passed.

    Raises `ConfigError` when the run has no champion or no results, `target` exists and is not empty, or the exported model
    predicts something else.
    """
    from tuner.artifacts.models import FOLDER

    results = results_json.read(run / results_json.FILE_NAME)
    problems = []
    if results["champion"] is None:
        problems.append(f"{run.name} has no champion: none of its trials is COMPLETE; continue it with --resume {run.name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        problems.append(f"--to {target} exists and is not empty; give a new folder")
    if problems:
        raise ConfigError(problems)

    from model.saved_model import export as exported
    from model.saved_model import folder as saved_model
    from model.saved_model.comparison import Comparison, exported_answers

    model = saved_model.read(run / FOLDER)
    comparison = Comparison.of(model, _select_texts(results["data"]["source"], model.config.mixture))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as partial:
            folder = Path(partial, target.name)
            exported.write(folder, model)
            comparison.check("the exported model", exported_answers(folder))
            shutil.copyfile(run / FOLDER / saved_model.CONFIG, folder / saved_model.CONFIG)
            (folder / CARD).write_text(card(results), encoding="utf-8", errors="backslashreplace")
            folder.replace(target)
    except OSError as error:
        raise ConfigError([f"--to {target} cannot be written: {error.strerror or error}; give another folder"]) from None
    return comparison


def _select_texts(data: str, tasks: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    """The texts of the longest `N_COMPARED` select rows of each task; none if the run's data are not here any more."""
    try:
        splits = source.read(source.DataSource.parse(data), tasks, skip_bad_rows=True).tasks
    except ConfigError:
        return {}
    texts = {task: [example.texts for example in splits[task]["select"]] for task in tasks}
    return {task: sorted(rows, key=lambda row: -len("".join(row)))[:N_COMPARED] for task, rows in texts.items()}


def card(results: Mapping[str, Any]) -> str:
    """Markdown with the hub's YAML header, from the contents of results.json, which must have a champion."""
    from jinja2 import Environment

    champion, rows = results["champion"], results["data"]["rows"]
    config, mixture, split = champion["config"], champion["config"]["mixture"], "dev" if champion.get("dev") else "select"
    metrics = [
        (metric, value, interval(metric, value, rows[metric.partition("/")[0]][split]), rows[metric.partition("/")[0]][split])
        for metric, value in (champion.get("dev") or champion["metrics"]).items()
    ]
    counts = {state: sum(trial["state"] == state for trial in results["trials"]) for state in ("COMPLETE", "PRUNED", "FAIL")}
    alarms: Mapping[str, Any] = next(
        (trial.get("alarms", {}) for trial in results["trials"] if trial["number"] == champion["number"]), {}
    )
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"number_text": number_text, "one_line": one_line}
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        results=results,
        champion=champion,
        config=config,
        mixture=mixture,
        header=_header(results),
        task=TASKS[next((name for name in mixture if not TASKS[name].is_pair), mixture[0])],
        metrics=metrics,
        sentences=sentences(results["confirmation"]) if champion.get("confirmed") else [],
        states=", ".join(f"{n} {state}" for state, n in counts.items() if n),
        alarms=[f"{alarm} ({', '.join(tasks)}): {MEANINGS[alarm]}." for alarm, tasks in alarms.items()],
        generated_note=GENERATED_NOTE,
    )


def _header(results: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    config = results["champion"]["config"]
    origin = ORIGINS.get(config["backbone"], config["backbone"])
    dev = results["champion"].get("dev") or {}
    parts = [(*metric.split("/", 1), value) for metric, value in dev.items()]
    return str(
        ModelCardData(
            language="en",
            library_name="transformers",
            base_model=None if origin.startswith((".", "/", "~")) else origin,
            tags=["multitask", *config["mixture"], *(["smart"] if config["smart"]["enabled"] else [])],
            model_name=results["name"],
            eval_results=[
                EvalResult("text-classification", task, task, kind.rpartition("/")[2], value, dataset_split="dev")
                for task, kind, value in parts
            ]
            or None,
        ).to_yaml()
    )
