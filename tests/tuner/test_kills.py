"""A driver that is killed again and again: what was finished stays, what ran goes on, and the end is that of a calm search."""

from __future__ import annotations

import random
import signal
import subprocess
import time
import warnings
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.support.searches import command, finish, outcomes, results_of, runs_of, wait_for, write_space
from tests.support.spaces import DROPOUTS, small

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

N_KILLS, N_TRIALS, N_EVALUATIONS = 20, 6, 8
SPACE = small(
    DROPOUTS,
    {"pair_encoding": "cosine", "optim.lr": 1e-3, "budget.examples": 1920, "budget.evaluations": N_EVALUATIONS},
    trials=N_TRIALS,
    sampler="grid",
)
MOMENTS = [("", 5.0)] * 5 + [("results", 1.0)] * 3 + [("started", 2.0)] * 4 + [("eval", 2.0)] * 8
"""What a session has said last before it is killed, and the seconds that it may have after that at most."""


def kill_at(process: subprocess.Popen[str], said: str, within_s: float, draw: random.Random) -> None:
    if said:
        wait_for(process, said)
    time.sleep(draw.uniform(0.0, within_s))
    assert process.poll() is None, "the search ended before it was killed often enough"
    process.kill()
    process.communicate()


def test_a_driver_that_is_killed_twenty_times_comes_to_the_same(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, SPACE)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--checkpoint-every", "0"]
    calm = command(*arguments, "--name", "calm")
    _, err = finish(calm)
    assert calm.returncode == 0, err

    draw = random.Random(0)
    moments = draw.sample(MOMENTS, N_KILLS)
    folder = tmp_path / "storm"
    process = command(*arguments, "--name", "storm")
    while not (folder / "search.json").is_file():  # before that there is nothing to resume
        time.sleep(0.05)
    for said, within_s in moments:
        kill_at(process, said, within_s, draw)
        process = command("--resume", "storm", "--runs-dir", str(tmp_path))
    _, err = finish(process)
    assert process.returncode == 0, err
    assert "Traceback" not in err

    results = results_of(folder)
    assert outcomes(results) == outcomes(results_of(tmp_path / "calm"))
    assert [trial["state"] for trial in results["trials"]] == ["COMPLETE"] * N_TRIALS
    assert {len(trial["evaluations"]) for trial in results["trials"]} == {N_EVALUATIONS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.load_study(study_name="storm", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    assert [frozen.state.name for frozen in study.trials] == ["COMPLETE"] * N_TRIALS
    runs, scores = runs_of(results)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 1 + N_TRIALS
    assert scores == {
        str(trial["number"]): [(e["step"], e["score"]) for e in trial["evaluations"]] for trial in results["trials"]
    }
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_trial_goes_on_from_its_checkpoint(tmp_path: Path, tiny_backbone: Path, number: signal.Signals) -> None:
    """Seen by the time that the checkpoint says it took so far, which the test makes longer."""
    space = write_space(tmp_path, tiny_backbone, SPACE)
    every = "0" if number == signal.SIGKILL else "1000"  # an interruption saves whatever runs
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--trials", "1", "--set", "budget.examples=4800"]
    process = command(*arguments, "--name", "cut", "--checkpoint-every", every)
    wait_for(process, "eval 3/8")
    process.send_signal(number)
    finish(process)
    (checkpoint,) = (tmp_path / "cut" / "checkpoints").iterdir()
    (states,) = checkpoint.rglob("*model_states.pt")
    content = torch.load(states, weights_only=False)
    assert content["n_evaluations"] >= 2
    content["seconds"] += 1000.0
    torch.save(content, states)
    again = command("--resume", "cut", "--runs-dir", str(tmp_path))
    _, err = finish(again)
    assert again.returncode == 0, err
    (trial,) = results_of(tmp_path / "cut")["trials"]
    assert (trial["number"], trial["state"], len(trial["evaluations"])) == (0, "COMPLETE", N_EVALUATIONS)
    assert trial["seconds"] > 1000.0
