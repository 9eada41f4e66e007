"""Faults that a test cannot wait for, put into the real ranks of a real search by a hook that Python runs at start-up."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from model import train
from tests.support import raylets
from tests.support.searches import Finished, lend_tokens, results_of, run_command, search_here, write_space
from tests.support.spaces import small
from tests.support.training_hook import HOOK

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TWO_FIT, NONE_FITS, NO_CHECKPOINT, NO_MODEL, NO_TOKENIZER = range(5)
"""Trials by their fault: of micro-batches of eight examples two fit, or none; a full disk; a backbone that is gone."""
RATES = [5e-4, 4e-4, 3e-4, 2e-4, 1e-4]
"""By its learning rate a rank knows its trial."""
FAULTS = f"""
    import errno, os, pathlib
    advance, export, save = training.advance, training.export, training.save

    def trial(self):
        return {RATES}.index(self.config.optim.lr)

    def starved(self):
        n_at_once = self.config.optim.batch_size // self.config.optim.accumulation
        fits_until = {{{TWO_FIT}: {{8: 0, 4: 1}}, {NONE_FITS}: {{8: 1, 4: 1, 2: 1, 1: 1}}}}.get(trial(self), {{}})
        if self.n_evaluations == fits_until.get(n_at_once):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...\\nmore")
        return advance(self)

    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def saved(self, *arguments):
        return full(self) if trial(self) == {NO_CHECKPOINT} else save(self, *arguments)

    def exported(self, *arguments):
        if trial(self) == {NO_TOKENIZER}:
            for path in pathlib.Path(self.config.backbone).iterdir():
                path.unlink()
        return full(self) if trial(self) == {NO_MODEL} else export(self, *arguments)

    training.advance, training.save, training.export = starved, saved, exported
"""
SPACE = small(
    {"optim.lr": {"choice": RATES}},
    {"pair_encoding": "cosine", "optim.batch_size": 8, "optim.dropout": 0.0, "budget.examples": 480, "budget.evaluations": 4},
    trials=len(RATES),
    max_trials=len(RATES),
    sampler="random",
) + "start:\n" + "".join(f"  - optim.lr: {rate}\n" for rate in RATES)  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Iterator[dict[str, Any]]:
    """A search whose ranks have the hook."""
    folder = tmp_path_factory.mktemp("faulty")
    backbone = shutil.copytree(tiny_backbone, folder / "vanishing")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK + FAULTS, encoding="utf-8")
    space = write_space(folder, backbone, SPACE)
    where = ["--space", str(space), "--runs-dir", str(folder), "--name", "one"]
    lend_tokens(folder)
    raylets.leave()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "hook"), prepend=os.pathsep)
        done = search_here(*where, "--max-concurrent", "1", "--checkpoint-every", "0", "--json")
        raylets.leave()
    yield {"done": done, "results": results_of(folder / "one"), "trials": results_of(folder / "one")["trials"]}


def test_a_search_goes_on_after_trials_that_failed(faulty: dict[str, Any]) -> None:
    done: Finished = faulty["done"]
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert faulty["results"]["consistency"] == []
    assert [trial["state"] for trial in faulty["trials"]] == ["COMPLETE", *["FAIL"] * 4]
    assert faulty["results"]["champion"]["dev"]


def test_out_of_memory_a_trial_goes_on_with_smaller_micro_batches(
    faulty: dict[str, Any], tmp_path: Path, tiny_backbone: Path
) -> None:
    """The effective batch and, without dropout, the scores are the same. It has no checkpoint the first time, and one the
    second."""
    trial = faulty["trials"][TWO_FIT]
    assert trial["note"] == "accumulation 4 after out of memory"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(trial["config"] | {"backbone": str(tiny_backbone)}), encoding="utf-8")
    calm = run_command(train.main, "--config", str(tmp_path / "config.yaml"), "--data", "demo")
    assert calm.status == 0, calm.err
    same = calm.events
    assert [e["step"] for e in trial["evaluations"]] == [e["step"] for e in same]
    main = ("sst/accuracy", "quora/accuracy", "sts/pearson")
    assert trial["score"] == pytest.approx(sum(same[-1]["metrics"][name] for name in main) / len(main), abs=0.02)
    noted = Counter(event["number"] for event in faulty["done"].events if event["event"] == "trial_noted")
    assert noted == {TWO_FIT: 2, NONE_FITS: 3}, "halved each time"


def test_what_never_fits_fails_with_the_reason(faulty: dict[str, Any]) -> None:
    reason = "out of memory with a micro-batch of 1: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ..."
    assert faulty["trials"][NONE_FITS]["reason"] == reason


@pytest.mark.parametrize("number", [NO_CHECKPOINT, NO_MODEL])
def test_a_full_disk_has_a_reason_in_one_line(faulty: dict[str, Any], number: int) -> None:
    assert faulty["trials"][number]["reason"] == "the disk is full: [Errno 28] No space left on device"


def test_a_model_that_cannot_be_written_fails_its_trial_once(faulty: dict[str, Any]) -> None:
    """The tokenizer has vanished while the trial trained, as a file system may: the export raises."""
    assert "vanishing" in faulty["trials"][NO_TOKENIZER]["reason"]
    told = [event["index"] for event in faulty["done"].events
            if event["event"] == "evaluated" and event["number"] == NO_TOKENIZER]  # fmt: skip
    assert told == [1, 2, 3, 4], "it was not trained again"
