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
from collections.abc import Sequence
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
CHOSEN = [("trial 1  eval 1/4", 0.0), ("trial 1  eval 3/4", 0.0)]
"""What a session has said last before it is killed, and the seconds that it may have after that at most."""
DRAWN = [("", 5.0)] * 5 + [("results", 1.0)] * 3 + [("started", 2.0)] * 4 + [("eval", 2.0)] * 8


def fork_servers_of(session: int) -> list[str]:
    return [line for line in processes_of(session) if f"{fork.FILE} serve" in line]


def kill_at(process: subprocess.Popen[str], said: str, within_s: float, draw: random.Random) -> None:
    if said:
        wait_for(process, said)
    time.sleep(draw.uniform(0.0, within_s))
    assert process.poll() is None, "the search ended before it was killed often enough"
    process.kill()


def make_longer(checkpoints: Path) -> set[int]:
    """Have each checkpoint say that its trial took 1,000 s more so far. Returns the trials' numbers."""
    for states in checkpoints.rglob("*model_states.pt"):
        content = torch.load(states, weights_only=False)
        content["seconds"] += 1000.0
        torch.save(content, states)
    return {int(path.name.split("_")[1]) for path in checkpoints.iterdir()}


@pytest.mark.parametrize(
    ("moments", "size"),
    [
        pytest.param(CHOSEN, SMALLER, id="2 times"),
        pytest.param(random.Random(0).sample(DRAWN, len(DRAWN)), (), id="20 times", marks=pytest.mark.endurance),
    ],
)
def test_a_driver_that_is_killed_comes_to_the_same(
    tmp_path: Path, tiny_backbone: Path, moments: Sequence[tuple[str, float]], size: Sequence[str]
) -> None:
    space = write_space(tmp_path, tiny_backbone, SPACE)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--checkpoint-every", "0", *size]
    calm = search_here(*arguments, "--name", "calm")
    assert calm.status == 0, calm.err

    draw = random.Random(0)
    folder = tmp_path / "storm"
    process = command(*arguments, "--name", "storm")
    wait_until((folder / "search.json").is_file, "there is nothing to resume")
    for said, within_s in moments[:-1]:
        kill_at(process, said, within_s, draw)
        process.communicate()
        assert not (folder / "results.json").exists()
        process = command("--resume", "storm", "--runs-dir", str(tmp_path))
    if size:
        wait_for(process, "resumed: 1 trials were finished earlier")
    kill_at(process, *moments[-1], draw)
    wait_until(lambda: fork_servers_of(process.pid) == [], "a fork server outlives its search", fork.IDLE_S / 3)
    finish(process)
    begun = make_longer(folder / "checkpoints") if size else set()
    again = search_here("--resume", "storm", "--runs-dir", str(tmp_path))
    assert again.status == 0, again.err
    assert "Traceback" not in again.err

    results = results_of(folder)
    trials = results["trials"]
    assert outcomes(results) == outcomes(results_of(tmp_path / "calm"))
    n_trials, n_evaluations = (3, 4) if size else (6, 8)
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * n_trials
    assert {len(trial["evaluations"]) for trial in trials} == {n_evaluations}
    assert begun == ({1} if size else set())
    assert all(trials[number]["seconds"] > 1000.0 for number in begun), "they went on from their checkpoints"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.load_study(study_name="storm", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    assert [frozen.state.name for frozen in study.trials] == ["COMPLETE"] * n_trials
    runs, scores = runs_of(results)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 1 + n_trials
    assert scores == {str(trial["number"]): [(e["step"], e["score"]) for e in trial["evaluations"]] for trial in trials}
    assert list((folder / "checkpoints").iterdir()) == []

    over = search_here("--resume", "storm", "--runs-dir", str(tmp_path))
    assert over.status == 0, over.err
    assert results_of(folder)["trials"] == trials, "there was nothing left to do"


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


@pytest.mark.parametrize(
    ("number", "event"),
    [
        (signal.SIGTERM, "evaluated"),
        pytest.param(signal.SIGINT, "evaluated", marks=pytest.mark.endurance),
        pytest.param(signal.SIGTERM, "finalist_evaluated", marks=pytest.mark.endurance),
    ],
)
def test_a_driver_that_is_told_to_end_with_its_process_group(
    tmp_path: Path, tiny_backbone: Path, number: signal.Signals, event: str
) -> None:
    """What runs is saved, MLflow's runs have ended, and the search goes on from there."""
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    n_finalists = int(event.startswith("finalist"))
    where = ["--runs-dir", str(tmp_path), "--finalists", str(n_finalists), "--seeds", "1", "--max-concurrent", "1"]
    process = under_timeout("--space", str(space), "--name", "told", "--checkpoint-every", "1000", "--json", *where)
    wait_for(process, f'"event": "{event}"')
    assert fork_servers_of(process.pid), "its ranks are forked"
    process.send_signal(number)
    _, err = finish(process)
    assert process.returncode == 130, err
    found = results_of(tmp_path / "told")
    assert (found["finished"], found["consistency"]) == (None, [])
    runs, _ = runs_of(found)
    assert "RUNNING" not in {run.info.status for run in runs}
    checkpoints = tmp_path / "told" / ("confirmation" if n_finalists else ".") / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 1
    make_longer(checkpoints)
    again = search_here("--resume", "told", "--runs-dir", str(tmp_path))
    assert again.status == 0, again.err
    (trial,) = results_of(tmp_path / "told")["trials"]
    assert (trial["state"], len(trial["evaluations"])) == ("COMPLETE", 5)
    assert (trial["seconds"] > 1000.0) == (n_finalists == 0), "it went on from the checkpoint"
    runs, _ = runs_of(found)
    assert {run.info.status for run in runs} == {"FINISHED"}
