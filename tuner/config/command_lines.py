"""Shell commands for the user, such as those at the end of a search; they work in the folder where the search was started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from model.tasks import TASKS
from tuner.artifacts.addresses import mask_credentials
from tuner.config.options import Options, table

LOCAL_SERVER = "http://127.0.0.1:5000"
"""The address at which `mlflow_ui` serves a database."""
NOT_REPEATED = ("name", "runs_dir", "resume", "quiet", "json", "dry_run", "debug")
"""Options that do not influence what is searched."""


def python() -> str:
    """This interpreter: `python` where the shell finds it by that name, else its path."""
    named = shutil.which("python")
    if named and Path(named).absolute() == Path(sys.executable).absolute():
        return "python"
    return shlex.quote(near(Path(sys.executable)))


def near(path: Path) -> str:
    """`path` relative to the working directory where it lies inside, else as it is."""
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return os.fspath(path.relative_to(Path.cwd()) if inside else path)


def mlflow_ui(tracking_uri: str, experiment_id: str | None, run_id: str | None) -> str:
    """The run's page on a server; for a database the command that serves it on the loopback address."""
    if tracking_uri.startswith("http"):
        page = f"/#/experiments/{experiment_id}/runs/{run_id}" if run_id else ""
        return mask_credentials(tracking_uri.rstrip("/")) + page
    arguments = shlex.join(["ui", "--backend-store-uri", mask_credentials(tracking_uri), "--host", "127.0.0.1"])
    return f"{python()} -m mlflow {arguments}"


def mlflow_run(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """A run's page on a server; for a database on the server that `mlflow_ui` starts."""
    server = mask_credentials(tracking_uri.rstrip("/")) if tracking_uri.startswith("http") else LOCAL_SERVER
    return f"{server}/#/experiments/{experiment_id}/runs/{run_id}"


def search(options: Options) -> str:
    """The command that repeats a search under a new name, with the options that differ from their defaults."""
    arguments: list[str] = []
    for name, option in table().items():
        value = getattr(options, name)
        if value == getattr(Options, name) or name in NOT_REPEATED:
            continue
        for one in value if isinstance(value, tuple) else [value]:
            arguments += [option.flag] if isinstance(one, bool) else [option.flag, mask_credentials(str(one))]
    return f"python -m tuner.search {shlex.join(arguments)}".rstrip()


def predict(champion: Path, mixture: list[str]) -> str:
    """The command that applies the champion, to its first single-text task if it has one."""
    task = next((name for name in mixture if not TASKS[name].is_pair), mixture[0])
    texts = '"first text" "second text"' if TASKS[task].is_pair else '"text"'
    return f"{python()} -m model.predict --model {shlex.quote(near(champion))} --task {task} {texts}"


def register(run_dir: Path) -> str:
    """The command that registers a run's champion in MLflow."""
    return f"{python()} -m tuner register {shlex.quote(near(run_dir))}"


def resume(run_dir: Path) -> str:
    """The command that resumes a run."""
    return f"{python()} -m tuner.search " + shlex.join(["--resume", run_dir.name, *_elsewhere(run_dir)])


def report(run_dir: Path) -> str:
    """The command that writes a run's page."""
    return f"{python()} -m tuner report " + shlex.join([run_dir.name, *_elsewhere(run_dir)])


def _elsewhere(run_dir: Path) -> list[str]:
    return [] if run_dir.parent == Path.cwd() / "runs" else ["--runs-dir", near(run_dir.parent)]
