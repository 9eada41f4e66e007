"""The preflight on a Ray: gangs that are measured, and searches whose ranks have too little memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.util.placement_group import placement_group_table

from cluster.shape import GangShape
from tests.support import raylets, tiny
from tests.support.searches import Finished, run_command, write_space
from tests.support.training_hook import HOOK
from tuner import search
from tuner.search.preflight import probe, stage

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPACE = """
name: small
metric: mean
targets: [sst, sts]
options: {{trials: 1, finalists: 0, sampler: random, pruner: none, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed:
  backbone: {backbone}
  max_length: 32
  mixture: [sst, sts]
  smart.enabled: false
  budget.examples: 96
  budget.evaluations: 2
  optim.batch_size: 8
search:
  pair_encoding: {{choice: [cosine, cross]}}
  optim.dropout: {{float: [0.0, 0.3]}}
"""
STARVED = """
    import os, pathlib
    init = training.__init__
    def starved(self, config, *arguments):
        init(self, config, *arguments)
        update = self.engine.update
        def checked(number, shares, seeds):
            if len(shares[0][0].labels) > int(pathlib.Path(os.environ["FITS"]).read_text()):
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            return update(number, shares, seeds)
        self.engine.update = checked
    training.__init__ = starved
"""


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], object]]:
    """A Ray that says it has three cores, whose ranks have memory for micro-batches of as many examples as this is given."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK + STARVED, encoding="utf-8")
    raylets.leave()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))
        patch.setenv("FITS", str(folder / "fits"))
        ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield lambda fits: (folder / "fits").write_text(str(fits))
        raylets.leave()


@pytest.mark.endurance
def test_as_many_gangs_are_measured_as_train_at_once(memory: Callable[[int], object], tiny_backbone: Path) -> None:
    """As many of one core each as fit on a machine that says it has three."""
    memory(99)
    one = tiny.config(tiny_backbone)
    assignment = probe.Assignment(one, (one,), probe.CROWD_LEAST_S, at_once=9)
    found = probe.in_gangs(GangShape(), ray.put(tiny.data()), assignment, lambda: True)
    assert found.crowd is not None
    assert found.crowd.at_once == 3
    assert found.slowdown >= 1.0
    assert found.note is None
    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}


def searched(folder: Path, backbone: Path, *arguments: str) -> Finished:
    space = write_space(folder, backbone, SPACE)
    given = ["--no-register", "--no-dashboard", "--space", str(space), "--runs-dir", str(folder / "runs")]
    return run_command(search.main, *given, *arguments)


def test_a_search_is_measured_foreseen_and_judged(memory: Callable[[int], object], tmp_path: Path, tiny_backbone: Path) -> None:
    """Micro-batches of 2 fit and 8 do not; what was measured serves the next search, and a dry run leaves nothing."""
    memory(2)
    done = searched(tmp_path, tiny_backbone, "--name", "one")
    assert done.status == 0, done.err
    assert re.search(r"\d configurations? measured in .*; a typical trial takes \d+ s, \d+ % of it evaluation", done.err)
    assert "ETA " in done.err
    assert "needs micro-batches of 2 instead of 8" in done.err
    assert ", took " in done.out
    results = json.loads((tmp_path / "runs" / "one" / "results.json").read_text(encoding="utf-8"))
    found = results["preflight"]
    assert found["took_s"] > 0
    assert found["measured"]["crowd"] is None, "a search of seconds has no time for more gangs than one"
    assert found["error"] == pytest.approx((found["took_s"] - found["eta_s"]["expected"]) / found["eta_s"]["expected"])
    encodings = {one["config"]["pair_encoding"] for one in found["measured"]["timed"]}
    assert encodings == {"cosine", "cross"} or found["measured"]["left_out"] > 0, "so short a search is measured in seconds"
    assert all(trial["note"] == "accumulation 4 after out of memory" for trial in results["trials"])
    assert results["consistency"] == []
    assert (tmp_path / "runs" / "one" / stage.OWN).is_file()
    (cached,) = (tmp_path / "runs" / stage.FOLDER).iterdir()

    before = sorted(path for path in (tmp_path / "runs").rglob("*"))
    dry = searched(tmp_path, tiny_backbone, "--name", "two", "--dry-run")
    assert dry.status == 0, dry.err
    assert f"measured in {found['measured']['took_s']:.0f} s" in dry.out, "the earlier search's"
    assert sorted(path for path in (tmp_path / "runs").rglob("*")) == before
    assert cached.is_file()


def test_what_cannot_fit_is_refused_before_anything_is_trained(
    memory: Callable[[int], object], tmp_path: Path, tiny_backbone: Path
) -> None:
    memory(0)
    done = searched(tmp_path, tiny_backbone, "--name", "one")
    assert done.status == 2
    (said,) = [line for line in done.err.splitlines() if "micro-batch of 1" in line]
    for word in ("optim.batch_size 8", "max_length 32", "CUDA out of memory", "lower max_length"):
        assert word in said
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs" / "one").exists()
