"""Faults that a test cannot wait for, put into the real ranks of a real search by a hook that Python runs at start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.searches import finish, results_of, write_space
from tests.support.spaces import small
from tests.support.training_hook import HOOK

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OUT_OF_MEMORY = """
    advance = training.advance
    def starved(self):
        if self.n_evaluations == 1 and self.config.optim.batch_size // self.config.optim.accumulation > {fits}:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...\\nmore")
        return advance(self)
    training.advance = starved
"""
FULL_DISK = """
    import errno, os
    write = training.{method}
    def full(self, *arguments):
        if self.config.optim.lr == 1e-3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, *arguments)
    training.{method} = full
"""
SPACE = small(
    {"optim.lr": {"choice": [1e-3, 1e-4]}},
    {"pair_encoding": "cosine", "optim.batch_size": 8, "optim.dropout": 0.0, "budget.examples": 480, "budget.evaluations": 4},
    trials=2,
    sampler="grid",
)


def search(folder: Path, backbone: Path, hook: str | None, *arguments: str) -> tuple[int, dict[str, Any], str, str]:
    """Exit status, results, output and errors of a search whose processes have the hook."""
    space = write_space(folder, backbone, SPACE)
    paths = [os.environ.get("PYTHONPATH", "")]
    if hook is not None:
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK + hook, encoding="utf-8")
        paths.insert(0, str(folder / "hook"))
    run = ["--space", str(space), "--runs-dir", str(folder), "--name", "faulty", "--no-preflight", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "tuner.search", "--no-register", "--no-dashboard", *run],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    out, err = finish(process)
    return process.returncode, results_of(folder / "faulty"), out, err


def test_out_of_memory_a_trial_goes_on_with_smaller_micro_batches(tmp_path: Path, tiny_backbone: Path) -> None:
    """Eight and four examples do not fit, two do: the effective batch and, without dropout, the scores are the same."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    status, found, out, err = search(tmp_path / "a", tiny_backbone, OUT_OF_MEMORY.format(fits=2), "--json")
    assert status == 0, err
    assert found["consistency"] == []
    _, calm, _, _ = search(tmp_path / "b", tiny_backbone, None)
    for trial, same in zip(found["trials"], calm["trials"], strict=True):
        assert (trial["state"], trial["note"]) == ("COMPLETE", "accumulation 4 after out of memory")
        assert trial["config"] == same["config"]
        assert trial["score"] == pytest.approx(same["score"], abs=0.02)
        assert [e["step"] for e in trial["evaluations"]] == [e["step"] for e in same["evaluations"]]
    assert out.count('"trial_noted"') == 4, "micro-batches of four, then of two, in each trial"


def test_what_never_fits_fails_with_the_reason(tmp_path: Path, tiny_backbone: Path) -> None:
    status, found, _, err = search(tmp_path, tiny_backbone, OUT_OF_MEMORY.format(fits=0))
    assert status == 1
    for trial in found["trials"]:
        reason = "out of memory with a micro-batch of 1: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ..."
        assert (trial["state"], trial["reason"]) == ("FAIL", reason)
    assert "Traceback" not in err
    assert found["consistency"] == []


@pytest.mark.parametrize("method", ["export", "save"])
def test_a_full_disk_has_a_reason_in_one_line_and_the_search_goes_on(tmp_path: Path, tiny_backbone: Path, method: str) -> None:
    status, found, _, err = search(tmp_path, tiny_backbone, FULL_DISK.format(method=method), "--checkpoint-every", "0")
    assert "Traceback" not in err
    assert found["consistency"] == []
    assert status == 0
    outcomes = {trial["config"]["optim"]["lr"]: (trial["state"], trial["reason"]) for trial in found["trials"]}
    assert outcomes == {1e-3: ("FAIL", "the disk is full: [Errno 28] No space left on device"), 1e-4: ("COMPLETE", None)}
