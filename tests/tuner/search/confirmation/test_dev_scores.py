"""Trained models scored on dev, on a real cluster: they say what they say here, in a process that had its imports already."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from safetensors.torch import load_file, save_file

from cluster import connect
from cluster.shape import GangShape
from model.config import ConfigError
from model.training.evaluate import predict_split
from model.training.trial import Training
from tests.support import raylets, tiny
from tests.support.forks import answers
from tuner.artifacts import store as stores
from tuner.execution.interruption import Interruption
from tuner.execution.runner import Runner
from tuner.search.confirmation.stage import dev_scores
from tuner.search.context import Context
from tuner.search.hand_over import HandOver

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SHAPE = GangShape(n_workers=1, cpus_per_worker=1, gpus_per_worker=0.0)


@pytest.fixture(scope="module")
def data() -> Any:
    raylets.join_shared()
    return ray.put(tiny.data())


@pytest.fixture(scope="module")
def model(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A trained model's folder, and its predictions on dev."""
    folder = tmp_path_factory.mktemp("model")
    config = tiny.config(tiny_backbone, mixture=["sst", "sts"])
    with closing(Training(config, tiny.data())) as training:
        assert len(list(training)) == config.budget.evaluations
        training.export(folder, {})
        positions = {task: np.arange(len(tiny.data().tasks[task]["dev"])) for task in config.mixture}
        network = training.loss.network
        return folder, {t: predict_split(network, tiny.data(), config, t, "dev", where) for t, where in positions.items()}


def runner(data: Any, store: Path | None = None) -> Runner:
    return Runner(SHAPE, lambda: 1, Interruption(), data, 60.0, 600.0, store and stores.checked(str(store)))


@pytest.mark.parametrize("sends_files", [False, True])
def test_they_predict_what_they_predict_here(
    data: Any, model: tuple[Path, dict[str, np.ndarray]], sends_files: bool, tmp_path: Path
) -> None:
    folder, expected = model
    found = dict(dev_scores({3: folder, 7: folder}, runner(data, tmp_path if sends_files else None)))
    assert sorted(found) == [3, 7]
    for scored in found.values():
        assert list(scored.predictions) == ["sst", "sts"]
        for task, predictions in scored.predictions.items():
            np.testing.assert_allclose(predictions, expected[task], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(scored.labels[task], tiny.data().tasks[task]["dev"].labels)
    assert sys.platform != "linux" or answers(connect.job()), "no fork server was asked for a process"


def test_a_user_who_asks_to_end_is_heard_meanwhile(data: Any, model: tuple[Path, dict[str, np.ndarray]]) -> None:
    interruption = Interruption()
    interruption.requested = True
    with pytest.raises(KeyboardInterrupt):
        list(dev_scores(dict.fromkeys(range(50), model[0]), replace(runner(data), interruption=interruption)))


def test_a_model_that_is_not_the_trained_one_is_not_handed_over(
    data: Any, model: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model[0], tmp_path / "champion"))
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"heads.sts.bias": weights["heads.sts.bias"] + 1}, folder / "model.safetensors")
    unused: Any = None
    hand_over = HandOver(Context(tmp_path, 0, runner(data), unused), unused, unused, unused, "", None)
    with pytest.raises(ConfigError, match=r"scores sts differently from the trained one.*not handed over"):
        hand_over.add_dev_metrics({"champion": {"path": str(folder)}})
    assert not folder.exists()
