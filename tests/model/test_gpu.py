"""The same trial on a CUDA device. Not part of `make test`: run `pytest -m gpu` on a machine with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:barrier\\(\\). using the device under current context:UserWarning"),  # DeepSpeed's
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning"),
]
NO_DROPOUT = {"batch_size": 8, "lr": 1e-3, "dropout": 0.0}

ON_CPU = """
import json, sys
from pathlib import Path
from model.training.trial import Training
from tests.support import tiny
training = Training(tiny.config(Path(sys.argv[1]), optim={"batch_size": 8, "lr": 1e-3, "dropout": 0.0}), tiny.data())
print(json.dumps(training.advance().losses))
"""


def first_losses(config: object) -> dict[str, float]:
    training = Training(config, tiny.data())  # type: ignore[arg-type]
    reported = training.advance()
    training.close()
    assert isinstance(reported, Evaluation)
    assert training.rank.device.type == "cuda"
    return reported.losses


def test_trains_as_on_the_cpu(tiny_backbone: Path) -> None:
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",  # a trial before this one has set it to cuda
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_CPU, str(tiny_backbone)], capture_output=True, text=True, check=True, env=environment
    )
    expected = json.loads(done.stdout.splitlines()[-1])
    found = first_losses(tiny.config(tiny_backbone, optim=NO_DROPOUT))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=5e-2 if "smoothness" in name else 1e-3, abs=1e-6)


def test_bf16_trains(tiny_backbone: Path) -> None:
    smart = {"epsilon": 1e-2, "sigma": 1e-2}
    losses = first_losses(tiny.config(tiny_backbone, engine={"precision": "bf16"}, smart=smart))
    assert all(value == value for value in losses.values())


def test_an_update_never_waits_for_the_device(tiny_backbone: Path) -> None:
    """According to torch's synchronisation warnings: the host issues the next update while the device computes this one."""
    training = Training(tiny.config(tiny_backbone), tiny.data())
    training.loss.train()
    training.update(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.update(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        training.close()


def test_resumes_on_the_device(tiny_backbone: Path, tmp_path: Path) -> None:
    config = tiny.config(tiny_backbone)
    whole = Training(config, tiny.data())
    expected = [evaluation.metrics for evaluation in whole if isinstance(evaluation, Evaluation)]
    whole.close()
    first = Training(config, tiny.data())
    first.advance()
    first.save(tmp_path)
    first.close()
    second = Training(config, tiny.data())
    second.load(tmp_path)
    found = [evaluation.metrics for evaluation in second if isinstance(evaluation, Evaluation)]
    second.close()
    for ours, theirs in zip(found, expected[1:], strict=True):
        assert ours == pytest.approx(theirs, abs=0.05)
    assert torch.cuda.is_available()
