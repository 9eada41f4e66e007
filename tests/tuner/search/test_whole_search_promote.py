"""`--pruner asha-promote` in a real search on one slot: paused, promoted from the checkpoint, and trained as if undisturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from model import train
from tests.support import raylets
from tests.support.searches import (
    SearchHere,
    command,
    finish,
    lend_tokens,
    results_of,
    run_command,
    runs_of,
    search_here,
    wait_for,
    write_space,
)
from tuner.commands import status
from tuner.execution.interruption import Interruption

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPACE = """
name: promoting
metric: mean
targets: [sst, quora, sts]
options:
  {{trials: 8, finalists: 0, sampler: random, pruner: asha-promote, cpus_per_worker: 1,
    gpus_per_worker: 0}}
fixed:
  backbone: {backbone}
  max_length: 32
  mixture: [sst, quora, sts]
  pair_encoding: cosine
  budget.examples: 960
  budget.evaluations: 3
search:
  optim.lr: {{choice: [1.0e-3, 5.0e-4, 3.0e-4, 1.0e-4, 5.0e-5, 2.0e-5, 1.0e-5, 5.0e-6]}}
start:
  - {{optim.lr: 5.0e-6}}
  - {{optim.lr: 1.0e-5}}
  - {{optim.lr: 2.0e-5}}
  - {{optim.lr: 5.0e-5}}
  - {{optim.lr: 1.0e-4}}
  - {{optim.lr: 3.0e-4}}
  - {{optim.lr: 5.0e-4}}
  - {{optim.lr: 1.0e-3}}
"""
"""With so few steps the untrained scores best, so that the first trials are the best ones of the first rung: the second pauses
there, and is promoted when worse ones have come."""


ONE_SLOT = ("--max-concurrent", "1", "--max-trials", "8", "--checkpoint-every", "1000")
"""Without checkpoints but those of pauses."""


def arguments(folder: Path, backbone: Path, name: str) -> list[str]:
    space = write_space(folder, backbone, SPACE)
    lend_tokens(folder)
    return ["--space", str(space), "--runs-dir", str(folder), "--name", name, *ONE_SLOT]


def undisturbed(folder: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """The evaluations of a training in one go."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = run_command(train.main, "--config", str(folder / "config.yaml"), "--data", "demo")
    assert done.status == 0, done.err
    return done.events


def test_a_trial_is_paused_and_promoted_and_its_gang_serves_others_meanwhile(tmp_path: Path, tiny_backbone: Path) -> None:
    raylets.join_shared()
    before = len(raylets.ranks())
    done = search_here(*arguments(tmp_path, tiny_backbone, "promoting"), "--json")
    assert done.status == 0, done.err
    results = results_of(tmp_path / "promoting")
    assert results["consistency"] == []
    assert results["unfinished"] == []
    trials = {trial["number"]: trial for trial in results["trials"]}
    assert len(trials) == 8
    assert {trial["state"] for trial in trials.values()} == {"COMPLETE", "PRUNED"}
    assert all("not promoted from evaluation" in trial["reason"] for trial in trials.values() if trial["state"] == "PRUNED")

    happened = [(event["event"], event.get("number")) for event in done.events]
    paused = {number for what, number in happened if what == "trial_paused"}
    promoted = [number for number in paused if trials[number]["state"] == "COMPLETE"]
    assert promoted, f"none went on to its end of {paused}"
    number = promoted[0]
    away = happened[happened.index(("trial_paused", number)) + 1 :]
    away = away[: away.index(("trial_started", number))]
    assert any(what == "trial_started" for what, _ in away), "others were trained while it was paused"
    assert len(raylets.ranks()) == before + 1, "by the same process"
    told = [event["index"] for event in done.events if event["event"] == "evaluated" and event["number"] == number]
    assert told == [1, 2, 3], "each evaluation is made once: it went on from its checkpoint"

    alone = undisturbed(tmp_path, trials[number]["config"])
    assert [(e["step"], e["metrics"]) for e in trials[number]["evaluations"]] == [(e["step"], e["metrics"]) for e in alone]
    assert list((tmp_path / "promoting" / "checkpoints").iterdir()) == []
    runs, scores = runs_of(results)
    assert sorted(run.info.status for run in runs) == sorted(
        ["FINISHED", *({"COMPLETE": "FINISHED", "PRUNED": "KILLED"}[trial["state"]] for trial in trials.values())]
    )
    assert scores == {str(n): [(e["step"], e["score"]) for e in trial["evaluations"]] for n, trial in trials.items()}


@pytest.mark.endurance
@pytest.mark.parametrize("killed", [False, True])
def test_what_was_paused_when_a_search_ended_is_promoted_from_its_checkpoint(
    tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Seen by the time that the checkpoint says it took so far, which the test makes longer."""
    if killed:
        process = command(*arguments(tmp_path, tiny_backbone, "one"))
        wait_for(process, "trial 1  PAUSED")
        wait_for(process, "trial 2  started")
        process.kill()
        finish(process)
    else:
        interruption = Interruption()
        monkeypatch.setattr("tuner.search.launch.Interruption", lambda: interruption)
        under_way = SearchHere(tmp_path, tiny_backbone, *ONE_SLOT, text=SPACE)
        under_way.wait_for('"event": "trial_paused", "number": 1')
        under_way.wait_for('"event": "trial_started", "number": 2')
        interruption.requested = True
        assert under_way.end() == 130
        monkeypatch.undo()
    folder = tmp_path / "one"
    (checkpoint,) = folder.glob("checkpoints/trial_1_*")
    (states,) = checkpoint.rglob("*model_states.pt")
    content = torch.load(states, weights_only=False)
    content["seconds"] += 1000.0
    torch.save(content, states)
    told = run_command(status.main, str(folder))
    assert told.status == 0, told.err
    n_paused = 1 if killed else 2  # what runs when the user ends a search goes on to its rung
    assert f"paused: {n_paused}" in told.out
    again = search_here("--resume", "one", "--runs-dir", str(tmp_path), "--max-concurrent", "1")
    assert again.status == 0, again.err
    assert f"{n_paused} trials are paused and may be promoted" in again.out
    results = results_of(folder)
    assert results["consistency"] == []
    trial = results["trials"][1]
    assert len(trial["evaluations"]) > 1
    assert trial["seconds"] > 1000.0
    assert [trial["state"] for trial in results["trials"]].count("COMPLETE") >= 1
