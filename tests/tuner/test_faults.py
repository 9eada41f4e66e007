"""Processes that die, disks that refuse: each ends in a true state, and nothing finished is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from cluster import fork
from tests.support.searches import command, finish, results_of, wait_for, write_space
from tests.support.spaces import ONE_TRIAL

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def ranks_of(session: int) -> list[int]:
    """Processes of ranks in a session, at work or between two calls."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "ray::RankWorker" in line]


def forked_by(pid: int) -> tuple[str, str]:
    """What a process's parent does for `cluster.fork`, and whose it is."""
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    command = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
    role, _, _, owner = command[command.index(str(fork.FILE)) + 1 :][:4]
    return role, owner


def test_killed_rank_is_replaced_and_the_trial_comes_out_the_same(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--workers-per-trial", "2"]
    undisturbed = command(*arguments, "--name", "calm")
    _, err = finish(undisturbed)
    assert undisturbed.returncode == 0, err

    process = command(*arguments, "--name", "storm")
    wait_for(process, "eval 2/5")
    assert {forked_by(rank) for rank in ranks_of(process.pid)} == {("serve", str(process.pid))}
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    _, err = finish(process)
    assert process.returncode == 0, err
    (calm,), (storm,) = (results_of(tmp_path / name)["trials"] for name in ("calm", "storm"))
    assert storm["state"] == "COMPLETE"
    assert [e["metrics"] for e in storm["evaluations"]] == [e["metrics"] for e in calm["evaluations"]]


def test_killed_driver_loses_nothing(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone)
    process = command("--space", str(space), "--runs-dir", str(tmp_path), "--name", "shot", "--trials", "4")
    wait_for(process, "COMPLETE")
    wait_for(process, "eval 1/5")
    process.kill()
    finish(process, timeout=600)
    assert not (tmp_path / "shot" / "results.json").exists()

    again = command("--resume", "shot", "--runs-dir", str(tmp_path))
    out, err = finish(again)
    assert again.returncode == 0, err
    assert "1 trials were finished earlier" in out or "resumed" in out
    trials = results_of(tmp_path / "shot")["trials"]
    assert trials[0]["state"] == "COMPLETE"
    assert {trial["state"] for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert sum(trial["reason"] != "interrupted" for trial in trials) == 4

    over = command("--resume", "shot", "--runs-dir", str(tmp_path))
    _, err = finish(over)
    assert over.returncode == 0, err
    after = results_of(tmp_path / "shot")
    assert after["trials"] == trials, "there was nothing left to do"


def test_model_that_cannot_be_written_fails_its_trial_once(tmp_path: Path, tiny_backbone: Path) -> None:
    """The tokenizer vanishes while the trial trains, as a file system may: the export raises."""
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    copy = tmp_path / "vanishing"
    copy.mkdir()
    for path in tiny_backbone.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    process = command("--space", str(space), "--backbone", str(copy), "--runs-dir", str(tmp_path), "--name", "gone")
    wait_for(process, "eval 1/5")
    for path in copy.iterdir():
        path.unlink()
    out, _ = finish(process)
    assert process.returncode == 1
    (trial,) = results_of(tmp_path / "gone")["trials"]
    assert trial["state"] == "FAIL"
    assert "vanishing" in trial["reason"]
    assert out.count("eval 5/5") == 1, "it was not trained again"
