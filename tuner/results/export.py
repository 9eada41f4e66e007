"""The champion for everybody else: `python -m tuner.results.export RUN --to DIR` writes it as plain transformers load it.

Exit status: 0 written; 2 wrong usage, or a run without a champion.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from model.config import ConfigError

WRITTEN, WRONG_USAGE = 0, 2
CARD = "README.md"


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m tuner.results.export",
        description="Write a run's champion as an encoder that transformers loads, its heads, and a model card.",
    )
    text.add_argument("run", metavar="RUN", help="a run's name, or the path of its folder")
    text.add_argument("--to", metavar="DIR", type=Path, required=True, help="a new folder")
    text.add_argument("--runs-dir", metavar="DIR", default="runs", help="folder of the runs (runs)")
    return text


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        from tuner.report import run_folder

        export(run_folder(arguments.run, Path(arguments.runs_dir)), arguments.to)
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return WRONG_USAGE
    sys.stdout.write(f"{arguments.to}: encoder, heads, tokenizer, predict.py and a model card\n")
    return WRITTEN


def export(run: Path, target: Path) -> None:
    """Write the champion of the run in folder `run` to `target`, whole or not at all.

    Raises `ConfigError` when the run has no champion or no results, or `target` is there and not empty.
    """
    from tuner.results import results_json as results
    from tuner.results.model_card import card
    from tuner.search.hand_over import FOLDER

    found = results.read(run / results.FILE_NAME)
    problems = []
    if found["champion"] is None:
        problems.append(f"{run.name} has no champion: no trial of it is COMPLETE; go on with --resume {run.name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        problems.append(f"--to {target} is there already, and not empty; give a new folder")
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
            (folder / CARD).write_text(card(found), encoding="utf-8")
            folder.replace(target)
    except OSError as error:
        raise ConfigError([f"--to {target} cannot be written: {error.strerror or error}; give another folder"]) from None


if __name__ == "__main__":
    sys.exit(main())
