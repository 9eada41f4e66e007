"""Searches whose checkpoints leave the node they were made on: a real S3 server, several nodes, one with its own disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import object_store, raylets
from tests.support.object_store import SECRET, ObjectStore
from tests.support.searches import Search, SearchHere, lend_tokens, processes_of, results_of, search_here, write_space
from tests.support.spaces import ONE_TRIAL
from tests.support.waiting import wait_until
from tuner.artifacts.folder import StoredFolder, contents, named
from tuner.artifacts.store import opened, parse

pytestmark = [pytest.mark.cluster, pytest.mark.slow, raylets.UNCLOSED]


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    with object_store.serving() as server:
        opened.cache_clear()
        yield server
        opened.cache_clear()


@pytest.fixture(scope="module")
def cluster(s3: ObjectStore) -> Iterator[Any]:
    """A head with two CPUs, whose processes find the store."""
    with raylets.cluster(num_cpus=2) as started:
        yield started


def scores(folder: Path) -> list[Any]:
    (trial,) = results_of(folder)["trials"]
    assert trial["state"] == "COMPLETE"
    return [evaluation["metrics"] for evaluation in trial["evaluations"]]


def assert_secret_is_nowhere(folder: Path) -> None:
    holds = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holds == []


@pytest.mark.endurance
def test_ranks_on_two_nodes_come_to_the_same_through_a_store_that_is_away_for_a_while(
    tmp_path: Path, tiny_backbone: Path, s3: ObjectStore, cluster: Any
) -> None:
    space = write_space(tmp_path, tiny_backbone, ONE_TRIAL)
    small = ["--set", "engine.zero_stage=2", "--set", "budget.examples=960", "--set", "budget.evaluations=3"]
    arguments = ["--space", str(space), "--runs-dir", str(tmp_path), *small]
    lend_tokens(tmp_path)
    packed = search_here(*arguments, "--name", "packed", "--workers-per-trial", "2")
    assert packed.status == 0, packed.err
    second = cluster.add_node(num_cpus=1)
    wait_until(lambda: n_cpus() == 3, "the node does not join")
    refused = search_here(*arguments, "--name", "spread", "--cpus-per-worker", "3")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "1 × (3 CPU) on one node, but the cluster is too small: " in refused.err

    where = ["--placement", "spread", "--storage-path", f"{s3.url}/runs", "--checkpoint-every", "0"]
    options = [*small, "--workers-per-trial", "2", *where]
    search = SearchHere(tmp_path, tiny_backbone, *options, text=ONE_TRIAL)
    search.wait_for('"event": "evaluated", "number": 0, ')
    s3.stop()
    away = search.wait_for("; retrying for up to")
    assert away.startswith(f"cannot use the storage {s3.url}/runs/")
    s3.start()
    assert search.end() == 0, search.err
    cluster.remove_node(second)
    wait_until(lambda: n_cpus() == 2, "the node does not leave")
    assert any(line.endswith(" can be used again\n") for line in search.err), search.err
    assert scores(tmp_path / "one") == scores(tmp_path / "packed")
    assert (tmp_path / "one" / "champion" / "model.safetensors").is_file()
    assert results_of(tmp_path / "one")["champion"]["dev"]
    assert s3.objects() == []
    assert SECRET not in "".join(search.out + search.err)
    assert_secret_is_nowhere(tmp_path / "one")


@pytest.mark.endurance
def test_resumed_trials_go_on_from_the_store_unless_somebody_changed_what_is_there(
    tmp_path: Path, tiny_backbone: Path, s3: ObjectStore, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the time that the checkpoints say they took so far, which the test makes longer. One of the two is changed."""
    arguments = ["--storage-path", f"{s3.url}/runs", "--checkpoint-every", "0", "--trials", "2", "--max-concurrent", "2"]
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    lend_tokens(tmp_path)
    killed = Search(tmp_path, tiny_backbone, *arguments)
    kept = tmp_path / "one" / "checkpoints"
    wait_until(lambda: all(list(kept.glob(f"trial_{number}_*")) for number in range(2)), "no checkpoints", 300)
    killed.process.kill()
    killed.end()
    wait_until(lambda: processes_of(killed.process.pid) == [], "the driver has left processes")
    for number in range(2):
        newest = max(kept.glob(f"trial_{number}_*"))
        make_longer(s3, tmp_path / "one", newest)
    (states,) = (key for key in s3.objects() if key.endswith("model_states.pt") and longer_key(newest) in key)
    s3.change(states, b"not what was written")
    again = search_here("--resume", "one", "--runs-dir", str(tmp_path))
    assert again.status == 0, again.err
    trials = results_of(tmp_path / "one")["trials"]
    assert [(trial["state"], len(trial["evaluations"])) for trial in trials] == [("COMPLETE", 4)] * 2
    assert [trial["seconds"] > 1000.0 for trial in trials] == [True, False]
    assert s3.objects() == []
    assert_secret_is_nowhere(tmp_path / "one")


def longer_key(name: Path) -> str:
    return str(json.loads(name.read_text())["key"])


def make_longer(s3: ObjectStore, run: Path, name: Path) -> None:
    """Put a checkpoint of 1,000 s more into the store, as the search itself would."""
    stored_as = json.loads((run / "state.json").read_text())["stored_as"]
    store = parse(f"{s3.url}/runs/{stored_as}")
    folder = run.parent / f"fetched_{name.name}"
    StoredFolder(store, longer_key(name)).fetch(folder)
    (states,) = folder.rglob("*model_states.pt")
    content = torch.load(states, weights_only=False)
    content["seconds"] += 1000.0
    torch.save(content, states)
    longer = named(store, longer_key(name).rpartition("_")[0], contents(folder))
    longer.put(folder, contents(folder))
    longer.finish(contents(folder))
    name.write_text(json.dumps({"key": longer.key}))


def n_cpus() -> float:
    import ray

    return float(ray.cluster_resources().get("CPU", 0))


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


def test_a_node_that_shares_no_disk_trains_through_the_store(
    tmp_path: Path, tiny_backbone: Path, s3: ObjectStore, cluster: Any
) -> None:
    import ray

    runs = tmp_path / "runs"
    runs.mkdir()
    others = ray.util.placement_group([{"CPU": 2}])
    assert others.wait(60), "trials run on the other node alone"
    with node_with_its_own_disk(cluster.address, runs):
        wait_until(lambda: n_cpus() == 3, "the node does not join")
        where = ("--runs-dir", str(runs), "--max-concurrent", "1")
        refused = SearchHere(tmp_path, tiny_backbone, *where)
        assert refused.end() == 2, refused.err
        (said,) = refused.err
        assert f"does not share the run's folder {runs}/one (files that this machine writes" in said and "; give --" in said
        refused = SearchHere(tmp_path, tiny_backbone, *where, "--storage-path", str(runs / "shared"))
        assert refused.end() == 2, refused.err
        (said,) = refused.err
        assert f"cannot use --storage-path {runs}/shared: files that this machine writes there are not visible" in said
        search = SearchHere(
            tmp_path, tiny_backbone, *where, "--storage-path", f"{s3.url}/runs", "--checkpoint-every", "0", "--trials", "1"
        )
        assert search.end() == 0, search.err
    ray.util.remove_placement_group(others)
    found = results_of(runs / "one")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"]
    assert (found["consistency"], s3.objects()) == ([], [])
    assert found["champion"]["dev"]
