"""The folder of a run: its lock, and the state that sessions pass on."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.data.file_contents import read_json
from tuner.artifacts.atomic import write_whole
from tuner.config.options import FILE_NAME, Options, save

RESULTS_FILE = "results.json"
STATE_FILE = "state.json"
LOCK_FILE = ".lock"


@dataclass(frozen=True)
class State:
    """Values that the sessions of a search pass on."""

    started: str
    """When the first session began, ISO 8601."""
    mlflow_run_id: str | None = None
    """MLflow's parent run."""
    wall_s: float = 0.0
    """Wall-clock seconds of the sessions."""
    gang_s: float = 0.0
    """Seconds that trials held their gangs, summed over trials."""
    n_trials: int | None = None
    """Total of full trials that the last session was given."""
    stored_as: str | None = None
    """The run's subfolder of `--storage-path`, unique among runs of the same name."""
    study: str | None = None
    """The name of the Optuna study and of MLflow's parent run, which stays when the folder is renamed."""
    folder: str | None = None
    """The run's folder in the last session, with links resolved; another one when the run was moved or copied."""


def find(run: str, runs_dir: Path) -> Path:
    """The folder of a run, given by its name in `runs_dir` or its path. Raises `ConfigError`, which lists the runs."""
    for folder in ((runs_dir / run).expanduser(), Path(run).expanduser()):
        if run.strip() and folder.is_dir():
            return folder
    names = (FILE_NAME, RESULTS_FILE)
    runs = sorted({path.parent.name for name in names for path in runs_dir.expanduser().glob(f"*/{name}")})
    listed = f"the runs there are {', '.join(runs)}" if runs else "there are no runs there"
    raise ConfigError([f"there is no run {run} in {runs_dir}, and no such folder; {listed}"])


def read_state(folder: Path) -> State | None:
    """The state of the run in `folder`; None before its first session. Raises `ConfigError` where it is damaged."""
    path = folder / STATE_FILE
    return read_json(path, State) if path.is_file() else None


def study_name(folder: Path) -> str:
    """The name of the run's Optuna study: that of its state, else of its results, else the folder's."""
    state = read_state(folder)
    return (state and state.study) or (read_results(folder).get("optuna") or {}).get("study_name") or folder.name


def former_folder(folder: Path) -> Path | None:
    """Where the run was in its last session, if it was moved or copied since."""
    state = read_state(folder)
    recorded = (state and state.folder) or read_results(folder).get("folder")
    former = Path(recorded).resolve() if recorded else None
    return former if former != folder.resolve() else None


def read_results(folder: Path) -> dict[str, Any]:
    """The contents of results.json; empty where it cannot be read."""
    with suppress(OSError, ValueError):
        results = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        return results if isinstance(results, dict) else {}
    return {}


def write_state(folder: Path, state: State) -> None:
    write_whole(folder / STATE_FILE, json.dumps(asdict(state)) + "\n")


def update_state(folder: Path, **changes: Any) -> None:
    """Replace some values of the state."""
    state = read_state(folder)
    assert state is not None, "the state is written when a run begins"
    write_state(folder, replace(state, **changes))


def is_held(folder: Path) -> bool:
    """Whether a process is running the search of this folder."""
    path = folder / LOCK_FILE
    if not path.is_file():
        return False
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@contextmanager
def opened(folder: Path, options: Options) -> Iterator[None]:
    """Lock the run's folder and write its options there. A new folder is deleted when the search raises `ConfigError`.

    Raises `ConfigError` when the folder cannot be written or another process runs this search.
    """
    is_new = not folder.exists()
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("ab")
    except OSError as error:
        raise ConfigError([f"cannot write to {folder}: {error.strerror}; give another --runs-dir"]) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError([f"another process runs the search {folder.name}; wait for it, or stop it"]) from None
        try:
            save(options, folder)
            yield
        except ConfigError:
            if is_new:
                shutil.rmtree(folder)
                with suppress(OSError):  # another run may be in there now
                    for parent in new_parents:
                        parent.rmdir()
            raise
