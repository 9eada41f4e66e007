"""A saved model equals the trained one and needs only its folder; damaged folders are reported."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from model.config import ConfigError
from model.encoder.backbone import load_tokenizer
from model.engine.deepspeed import Rank
from model.saved_model import folder as saved_model
from model.training.evaluate import evaluate, predict_split
from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import tiny

VARIANTS = {
    "cosine, mean": {"pair_encoding": "cosine", "pooling": "mean"},
    "cross, cls": {"pair_encoding": "cross", "pooling": "cls"},
    "concat, cls, ZeRO 2": {"pair_encoding": "concat_pooled", "pooling": "cls", "engine": {"zero_stage": 2}},
    "uncertainty, heads alone": {"mixing": {"loss_weights": "uncertainty"}, "mode": "pretrain"},
}


def trained(backbone: Path, folder: Path, **settings: Any) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Train a little and export; the trained network's own predictions on dev and metrics on select."""
    config = tiny.config(backbone, **settings, budget={"examples": 48, "evaluations": 1})
    with closing(Training(config, tiny.data())) as training:
        (reported,) = training
        assert isinstance(reported, Evaluation)
        training.export(folder, reported.metrics)
        network = training.loss.network
        predicted = {task: predict_split(network, tiny.data(), config, task, "dev", np.arange(24)) for task in config.mixture}
    return predicted, reported.metrics


@pytest.fixture(scope="module")
def model_folder(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    trained(tiny_backbone, folder)
    return folder


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of a saved model, for tests that damage it."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_read_back_predicts_and_scores_the_same(tiny_backbone: Path, tmp_path: Path, variant: str) -> None:
    predicted, metrics = trained(tiny_backbone, tmp_path / "model", **VARIANTS[variant])
    model = saved_model.read(tmp_path / "model")
    assert not any(module.training for module in model.network.modules())
    for task, expected in predicted.items():
        found = predict_split(model.network, tiny.data(), model.config, task, "dev", np.arange(24))
        np.testing.assert_array_equal(found, expected)
    assert evaluate(model.network, tiny.data(), model.config, "select", Rank()) == metrics == model.metrics


def test_the_record_is_read_back_whole(tiny_backbone: Path, model_folder: Path) -> None:
    model = saved_model.read(model_folder)
    assert model.config == tiny.config(tiny_backbone, budget={"examples": 48, "evaluations": 1})
    assert model.data == tiny.data().summary
    assert model.data.sha256 == tiny.data().summary.sha256
    assert model.tokenizer("A fine film.")["input_ids"] == [101, 1037, 2986, 2143, 1012, 102]


def test_a_model_needs_no_backbone(tiny_backbone: Path, tmp_path: Path) -> None:
    """It loads after its folder is moved and the backbone is deleted."""
    backbone = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    trained(backbone, tmp_path / "model")
    shutil.rmtree(backbone)
    moved = (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert saved_model.read(moved).config.backbone == str(backbone)


def test_models_have_the_tokenizer_that_the_backbone_has_now(tiny_backbone: Path, tmp_path: Path) -> None:
    """It is cached from one model to the next until its files change."""
    backbone = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    for name in ("first", "second"):
        trained(backbone, tmp_path / name)
        tokenizer = saved_model.read(tmp_path / name).tokenizer
        assert tokenizer.model_max_length == load_tokenizer(str(backbone)).model_max_length
        tokenizer.model_max_length = 77
        tokenizer.save_pretrained(backbone)
    assert saved_model.read(tmp_path / "second").tokenizer.model_max_length == 77


def test_a_relative_folder_is_no_hub_name(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_folder.parent)
    assert saved_model.read(Path("model")).config.mixture == ("sst", "quora", "sts")


def problem_with(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        saved_model.read(folder)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem


class TestBrokenFolders:
    @pytest.mark.parametrize("part", ["config.yaml", "model.safetensors", "encoder"])
    def test_a_part_is_missing(self, copy: Path, part: str) -> None:
        target = copy / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        assert problem_with(copy) == f"{copy} is not a saved model: it has no {part}; give a champion's folder"

    def test_no_folder_at_all(self, tmp_path: Path) -> None:
        problem = problem_with(tmp_path / "nothing")
        assert problem.endswith("it has no config.yaml, no model.safetensors, no encoder; give a champion's folder")

    def test_weights_cut_short(self, copy: Path) -> None:
        content = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(content[: len(content) // 2])
        assert "model.safetensors does not fit config.yaml" in problem_with(copy)

    def test_weights_of_another_model(self, copy: Path) -> None:
        weights = load_file(copy / "model.safetensors")
        save_file({**weights, "heads.sst.weight": torch.zeros(2, 2)}, copy / "model.safetensors")
        assert "model.safetensors does not fit config.yaml" in problem_with(copy)

    @pytest.mark.parametrize(
        "text", ["", "[1, 2]", "config: {", "config: {}\nmetrics: {}\n", "config: {}\nmetrics: 3\ndata: {}\n"]
    )
    def test_an_invalid_record(self, copy: Path, text: str) -> None:
        (copy / "config.yaml").write_text(text)
        assert "config.yaml is not the record of a saved model" in problem_with(copy)

    def test_a_record_with_a_setting_of_another_version(self, copy: Path) -> None:
        content = yaml.safe_load((copy / "config.yaml").read_text())
        content["config"]["optim"]["momentum"] = 0.9
        (copy / "config.yaml").write_text(yaml.safe_dump(content))
        assert problem_with(copy).startswith(f"{copy / 'config.yaml'}: unknown setting optim.momentum")
