"""The doctor on a real Ray with real ranks, healthy and with injected faults."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import ray

from cluster import connect
from tests.support import raylets
from tests.support.searches import run_command
from tuner.commands.doctor import ranks
from tuner.commands.doctor.command import main
from tuner.commands.doctor.ranks import DoctorRank, RankGroup

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class HangingRank(DoctorRank):
    """Its second rank never comes to the collective, so the first waits in it."""

    pids: str
    """A folder that gets a file for each rank."""

    def ready(self) -> None:
        import model.engine.deepspeed  # noqa: F401  what takes longest to start, before the clock runs

    def all_reduce(self) -> str:
        Path(self.pids, str(os.getpid())).touch()
        while self._rank == 1:
            time.sleep(1)
        return super().all_reduce()


@pytest.mark.endurance
def test_a_hanging_collective_is_a_line_and_its_processes_are_gone(tmp_path: Path) -> None:
    raylets.join_shared()
    (node,) = connect.nodes()
    hanging = type("Hanging", (HangingRank,), {"pids": str(tmp_path)})
    found = ranks.check_all_reduce(RankGroup((node, node)), rank_class=hanging, reduce_s=8.0)
    assert found.status == "FAIL"
    assert found.message == "2 ranks, gloo: no answer within 8 s"
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def doctor(*arguments: str) -> tuple[int, list[dict[str, str]], str]:
    raylets.join_shared()
    done = run_command(main, "--profile", "laptop", "--json", *arguments)
    assert ray.is_initialized(), "a Ray that ran before goes on"
    return done.status, json.loads(done.out)["findings"], done.out + done.err


def test_this_machine_is_well_and_nothing_is_left(tmp_path: Path, tiny_backbone: Path) -> None:
    runs = tmp_path / "runs"
    status, found, told = doctor("--backbone", str(tiny_backbone), "--runs-dir", str(runs), "--workers-per-trial", "2")
    assert status == 0, told
    assert [finding for finding in found if finding["status"] == "FAIL"] == []
    checks = {finding["check"]: finding["status"] for finding in found}
    assert checks.pop("gpus") in ("SKIP", "PASS")
    assert set(checks) == {
        "options", "ray", "database", "tracking", "versions", "code", "clock", "disk", "storage", "data", "all-reduce",
        "backbone", "smart",
    }  # fmt: skip
    assert set(checks.values()) == {"PASS"}
    (reduced,) = [finding for finding in found if finding["check"] == "all-reduce"]
    assert reduced["said"] == "2 ranks, gloo"
    assert list(tmp_path.iterdir()) == []


def test_every_fault_has_its_finding(tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: no such database, a data folder without a file, a backbone without weights. Collectives are left out."""
    monkeypatch.setattr(ranks, "rank_groups", lambda nodes, shape: [])
    bare, data = tmp_path / "bare", tmp_path / "data"
    for folder in (bare, data):
        folder.mkdir()
    for path in tiny_backbone.iterdir():
        if path.suffix != ".safetensors":
            (bare / path.name).write_bytes(path.read_bytes())
    (data / "ids-sst-train.csv").write_text("id\tsentence\tsentiment\n1\tgood\t4\n")
    database = "postgresql://ann:open-sesame@127.0.0.1:9/optuna"
    status, found, told = doctor(
        "--backbone", str(bare), "--data", str(data), "--tasks", "sst", "--metric", "sst/accuracy", "--storage", database,
        "--runs-dir", str(tmp_path / "runs"),
    )  # fmt: skip
    assert status == 1
    failures = [finding for finding in found if finding["status"] == "FAIL"]
    said = {check: "; ".join(f["said"] for f in failures if f["check"] == check) for check in {f["check"] for f in failures}}
    assert set(said) == {"options", "database", "backbone"}
    assert "ids-sst-dev.csv" in said["options"]
    assert "127.0.0.1:9" in said["database"]
    assert "no model.safetensors" in said["backbone"]
    skips = {finding["check"]: finding["said"] for finding in found if finding["status"] == "SKIP"}
    assert skips["data"] == "the options have problems"
    assert skips["smart"] == "the backbone was not loaded"
    assert "open-sesame" not in told
    assert "Traceback" not in told
