"""Searches whose checkpoints leave the node they were made on: a real S3 server, several nodes, one with its own disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import object_store, raylets
from tests.support.object_store import SECRET, ObjectStore
from tests.support.searches import Search, command, finish, results_of, wait_for, write_space
from tests.support.spaces import ONE_TRIAL
from tuner.store import opened, parse
from tuner.stored import StoredFolder, contents, named

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]


@pytest.fixture
def s3() -> Iterator[ObjectStore]:
    with object_store.serving() as server:
        opened.cache_clear()
        yield server
        opened.cache_clear()


def scores(folder: Path) -> list[Any]:
    (trial,) = results_of(folder)["trials"]
    assert trial["state"] == "COMPLETE"
    return [evaluation["metrics"] for evaluation in trial["evaluations"]]


def assert_secret_is_nowhere(folder: Path) -> None:
    holds = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holds == []


def test_ranks_on_two_nodes_come_to_the_same_through_a_store_that_is_away_for_a_while(
    tmp_path: Path, tiny_backbone: Path, s3: ObjectStore
) -> None:
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--workers-per-trial", "2", "--checkpoint-every", "0"]
    arguments += ["--set", "engine.zero_stage=2"]
    packed = command(*arguments, "--name", "packed")
    _, err = finish(packed)
    assert packed.returncode == 0, err

    with raylets.cluster(num_cpus=1) as cluster:
        cluster.add_node(num_cpus=1)
        refused = command(*arguments, "--name", "spread", "--address", cluster.address)
        _, err = refused.communicate(timeout=600)
        assert (refused.returncode, err.count("\n")) == (2, 1)
        assert "2 × (1 CPU) on one node, which the cluster can never give" in err
        where = ["--placement", "spread", "--storage-path", f"{s3.url}/runs"]
        process = command(*arguments, "--name", "spread", "--address", cluster.address, *where)
        wait_for(process, "eval 2/5")
        s3.stop()
        back = threading.Timer(15.0, s3.start)
        back.start()
        out, err = process.communicate(timeout=600)
        back.join()
    assert process.returncode == 0, err
    assert "the storage s3://bucket/runs" in err and "is away; the search waits for it" in err and "is back" in err
    assert scores(tmp_path / "spread") == scores(tmp_path / "packed")
    assert (tmp_path / "spread" / "champion" / "model.safetensors").is_file()
    assert results_of(tmp_path / "spread")["champion"]["dev"]
    assert s3.objects() == []
    assert SECRET not in out + err
    assert_secret_is_nowhere(tmp_path / "spread")


@pytest.mark.parametrize("changed", [False, True])
def test_a_resumed_trial_goes_on_from_the_store_unless_somebody_changed_what_is_there(
    tmp_path: Path, tiny_backbone: Path, s3: ObjectStore, changed: bool
) -> None:
    """Seen by the time that the checkpoint says it took so far, which the test makes longer."""
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), "--name", "cut", "--checkpoint-every", "0"]
    process = command(*arguments, "--storage-path", f"{s3.url}/runs")
    wait_for(process, "eval 4/5")
    process.send_signal(signal.SIGKILL)
    finish(process)
    kept = tmp_path / "cut" / "checkpoints"
    names = sorted(kept.iterdir())
    assert len(names) in (1, 2)
    make_longer(s3, tmp_path / "cut", names[-1])
    if changed:
        (states,) = (key for key in s3.objects() if key.endswith("model_states.pt") and longer_key(names[-1]) in key)
        s3.change(states, b"not what was written")
    again = command("--resume", "cut", "--runs-dir", str(tmp_path))
    _, err = finish(again)
    assert again.returncode == 0, err
    (trial,) = results_of(tmp_path / "cut")["trials"]
    assert (trial["state"], len(trial["evaluations"])) == ("COMPLETE", 5)
    assert (trial["seconds"] > 1000.0) != changed
    assert s3.objects() == []
    assert_secret_is_nowhere(tmp_path / "cut")


def longer_key(name: Path) -> str:
    return str(json.loads(name.read_text())["key"])


def make_longer(s3: ObjectStore, run: Path, name: Path) -> None:
    """Put a checkpoint of 1,000 s more into the store, as the search itself would."""
    stored_as = json.loads((run / "state.json").read_text())["stored_as"]
    store = parse(f"{s3.url}/runs/{stored_as}")
    folder = run.parent / "fetched"
    StoredFolder(store, longer_key(name)).fetch(folder)
    (states,) = folder.rglob("*model_states.pt")
    content = torch.load(states, weights_only=False)
    content["seconds"] += 1000.0
    torch.save(content, states)
    longer = named(store, longer_key(name).rpartition("_")[0], contents(folder))
    longer.put(folder, contents(folder))
    longer.finish(contents(folder))
    name.write_text(json.dumps({"key": longer.key}))


@contextmanager
def node_with_its_own_disk(address: str, hidden: Path) -> Iterator[None]:
    """A node of one CPU that sees nothing of a folder."""
    ray = str(Path(sys.executable).parent / "ray")
    hide = f"mount -t tmpfs tmpfs {hidden} && exec {ray} start --address {address} --num-cpus 1 --block --disable-usage-stats"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    node = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", hide], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=600)


def test_a_node_that_shares_no_disk_trains_through_the_store(tmp_path: Path, tiny_backbone: Path, s3: ObjectStore) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    with raylets.cluster(num_cpus=0) as cluster, node_with_its_own_disk(cluster.address, runs):
        cluster_has_cpus()
        where = ("--address", cluster.address, "--runs-dir", str(runs))
        refused = Search(tmp_path, tiny_backbone, *where)
        assert refused.end() == 2, refused.err
        (said,) = refused.err
        assert (
            f"does not share the run's folder {runs}/one (it finds nothing of what this machine writes there); give --" in said
        )
        refused = Search(tmp_path, tiny_backbone, *where, "--storage-path", str(runs / "shared"))
        assert refused.end() == 2, refused.err
        (said,) = refused.err
        assert f"cannot use --storage-path {runs}/shared: it finds nothing" in said
        search = Search(
            tmp_path, tiny_backbone, *where, "--storage-path", f"{s3.url}/runs", "--checkpoint-every", "0", "--trials", "2"
        )
        assert search.end() == 0, search.err
    found = results_of(runs / "one")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"] * 2
    assert (found["consistency"], s3.objects()) == ([], [])
    assert found["champion"]["dev"]


def cluster_has_cpus() -> None:
    """Wait for the node that joins."""
    import time

    import ray

    deadline = time.monotonic() + 60
    while not ray.cluster_resources().get("CPU") and time.monotonic() < deadline:
        time.sleep(0.2)
