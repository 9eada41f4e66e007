"""Exports a run's champion: an encoder that plain transformers loads, its heads, and a model card."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from model.config import ConfigError

CARD = "README.md"


def export(run: Path, target: Path) -> None:
    """Write the champion of the run in folder `run` to `target`, atomically.

    Raises `ConfigError` when the run has no champion or no results, or `target` exists and is not empty.
    """
    from tuner.artifacts.models import FOLDER
    from tuner.results import results_json
    from tuner.results.model_card import card

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

    model = saved_model.read(run / FOLDER)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as partial:
            folder = Path(partial, target.name)
            exported.write(folder, model)
            shutil.copyfile(run / FOLDER / saved_model.CONFIG, folder / saved_model.CONFIG)
            (folder / CARD).write_text(card(results), encoding="utf-8")
            folder.replace(target)
    except OSError as error:
        raise ConfigError([f"--to {target} cannot be written: {error.strerror or error}; give another folder"]) from None
