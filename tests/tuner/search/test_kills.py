"""A driver that is killed or told to end: what was finished stays, what ran goes on, and the end is that of a calm search.

It leaves no process behind, no fork server either.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from cluster import fork
from tests.support.searches import (
    QUICK,
    command,
    finish,
    lend_tokens,
    outcomes,
    processes_of,
    results_of,
    runs_of,
    search_here,
    wait_for,
    write_space,
)
from tests.support.spaces import DROPOUTS, ONE_TRIAL, small
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPACE = small(
    DROPOUTS,
    {"pair_encoding": "cosine", "optim.lr": 1e-3, "budget.examples": 1920, "budget.evaluations": 8},
    trials=6,
    sampler="grid",
)
SMALLER = ("--trials", "3", "--set", "budget.evaluations=4", "--max-concurrent", "1")
DRAWN = [("", 5.0)] * 5 + [("results", 1.0)] * 3 + [("started", 2.0)] * 4 + [("eval", 2.0)] * 8
"""What a session has said last before it is killed, and the seconds that it may have after that at most."""


def fork_servers_of(session: int) -> list[str]:
    return [line for line in processes_of(session) if f"{fork.FILE} serve" in line]


def make_longer(checkpoints: Path) -> set[int]:
    """Have each checkpoint say that its trial took 1,000 s more so far. Returns the trials' numbers."""
    for states in checkpoints.rglob("*model_states.pt"):
        content = torch.load(states, weights_only=False)
        content["seconds"] += 1000.0
        torch.save(content, states)
    return {int(path.name.split("_")[1]) for path in checkpoints.iterdir()}


def under_timeout(*arguments: str) -> subprocess.Popen[str]:
    """A search as `timeout` runs it, which passes a signal on to the search, and then to its whole process group."""
    assert shutil.which("timeout"), "coreutils has it"
    return subprocess.Popen(
        ["timeout", "3600", sys.executable, "-m", "tuner.search", *QUICK, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def tell_to_end(process: subprocess.Popen[str], number: signal.Signals, folder: Path) -> None:
    """Send a search a signal. What runs is saved, MLflow's runs have ended, and no process is left."""
    assert fork_servers_of(process.pid), "its ranks are forked"
    process.send_signal(number)
    _, err = finish(process)
    assert process.returncode == 130, err
    found = results_of(folder)
    assert (found["finished"], found["consistency"]) == (None, [])
    runs, _ = runs_of(found)
    assert "RUNNING" not in {run.info.status for run in runs}


def kill(process: subprocess.Popen[str], said: str, after_s: float = 0.0) -> None:
    if said:
        wait_for(process, said)
    time.sleep(after_s)
    assert process.poll() is None, "the search ended before it was killed often enough"
    process.kill()


def test_a_driver_that_is_told_to_end_and_then_killed_comes_to_the_same(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, SPACE)
    lend_tokens(tmp_path)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), *SMALLER]
    again = ["--resume", "storm", "--runs-dir", str(tmp_path), "--checkpoint-every", "0"]
    calm = search_here(*arguments, "--name", "calm")
    assert calm.status == 0, calm.err

    folder = tmp_path / "storm"
    process = under_timeout(*arguments, "--name", "storm", "--checkpoint-every", "1000")
    wait_for(process, "trial 1  eval 1/4")
    tell_to_end(process, signal.SIGTERM, folder)
    assert make_longer(folder / "checkpoints") == {1}

    process = command(*again)
    wait_for(process, "resumed: 1 trials were finished earlier")
    kill(process, "trial 2  eval 2/4")
    wait_until(lambda: fork_servers_of(process.pid) == [], "a fork server outlives its search", fork.IDLE_S / 3)
    finish(process)
    assert make_longer(folder / "checkpoints") == {2}

    assert_ends_like_the_calm_one(tmp_path, n_trials=3, n_evaluations=4)
    trials = results_of(folder)["trials"]
    assert [trial["seconds"] > 1000.0 for trial in trials] == [False, True, True], "they went on from their checkpoints"
    over = search_here("--resume", "storm", "--runs-dir", str(tmp_path))
    assert over.status == 0, over.err
    assert results_of(folder)["trials"] == trials, "there was nothing left to do"


@pytest.mark.endurance
def test_a_driver_that_is_killed_twenty_times_comes_to_the_same(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, SPACE)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--checkpoint-every", "0"]
    calm = search_here(*arguments, "--name", "calm")
    assert calm.status == 0, calm.err

    draw = random.Random(0)
    process = command(*arguments, "--name", "storm")
    wait_until((tmp_path / "storm" / "search.json").is_file, "there is nothing to resume")
    for said, within_s in draw.sample(DRAWN, len(DRAWN)):
        kill(process, said, draw.uniform(0.0, within_s))
        process.communicate()
        process = command("--resume", "storm", "--runs-dir", str(tmp_path))
    _, err = finish(process)
    assert process.returncode == 0, err
    assert_ends_like_the_calm_one(tmp_path, n_trials=6, n_evaluations=8)


def assert_ends_like_the_calm_one(runs_dir: Path, n_trials: int, n_evaluations: int) -> None:
    """Gone on with once more, the search ends well, and everything on record agrees with the undisturbed one."""
    again = search_here("--resume", "storm", "--runs-dir", str(runs_dir))
    assert again.status == 0, again.err
    assert "Traceback" not in again.err
    folder = runs_dir / "storm"
    results = results_of(folder)
    trials = results["trials"]
    assert outcomes(results) == outcomes(results_of(runs_dir / "calm"))
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * n_trials
    assert {len(trial["evaluations"]) for trial in trials} == {n_evaluations}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.load_study(study_name="storm", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    assert [frozen.state.name for frozen in study.trials] == ["COMPLETE"] * n_trials
    runs, scores = runs_of(results)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 1 + n_trials
    assert scores == {str(trial["number"]): [(e["step"], e["score"]) for e in trial["evaluations"]] for trial in trials}
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.endurance
@pytest.mark.parametrize(
    ("number", "event"),
    [
        (signal.SIGINT, "evaluated"),
        (signal.SIGTERM, "finalist_evaluated"),
    ],
)
def test_a_driver_that_is_told_to_end_with_its_process_group(
    tmp_path: Path, tiny_backbone: Path, number: signal.Signals, event: str
) -> None:
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    n_finalists = int(event.startswith("finalist"))
    where = ["--runs-dir", str(tmp_path), "--finalists", str(n_finalists), "--seeds", "1", "--max-concurrent", "1"]
    process = under_timeout("--space", str(space), "--name", "told", "--checkpoint-every", "1000", "--json", *where)
    wait_for(process, f'"event": "{event}"')
    tell_to_end(process, number, tmp_path / "told")
    checkpoints = tmp_path / "told" / ("confirmation" if n_finalists else ".") / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 1
    make_longer(checkpoints)
    again = search_here("--resume", "told", "--runs-dir", str(tmp_path))
    assert again.status == 0, again.err
    (trial,) = results_of(tmp_path / "told")["trials"]
    assert (trial["state"], len(trial["evaluations"])) == ("COMPLETE", 5)
    assert (trial["seconds"] > 1000.0) == (n_finalists == 0), "it went on from the checkpoint"
    runs, _ = runs_of(results_of(tmp_path / "told"))
    assert {run.info.status for run in runs} == {"FINISHED"}
