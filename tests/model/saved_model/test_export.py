"""An exported model equals the saved one and works with plain transformers, without this project."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import predict
from model.encoder.network import build
from model.saved_model import export
from model.saved_model import folder as saved_model
from model.saved_model.comparison import Comparison, exported_answers
from model.training.batches import make_batch
from tests.support import tiny

VARIANTS: dict[str, dict[str, Any]] = {
    "cosine, mean": {"pair_encoding": "cosine", "pooling": "mean"},
    "concat, cls": {"pair_encoding": "concat_pooled", "pooling": "cls"},
    "cross, cls": {"pair_encoding": "cross", "pooling": "cls"},
    "cross, mean, one task": {"pair_encoding": "cross", "pooling": "mean", "mixture": ["quora"]},
}
LONG = ("what " * 40 + "is this", "why " * 25 + "is this and that")


def exported(backbone: Path, folder: Path, **settings: Any) -> saved_model.SavedModel:
    """Save and export a model with large head weights, so that predictions differ between texts."""
    config = tiny.config(backbone, **settings)
    network = build(config).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.normal_(std=2.0, generator=generator)
    saved_model.write(folder / "saved", network, config, {}, tiny.data().summary)
    shutil.copytree(folder / "saved", folder / "moved")
    shutil.rmtree(folder / "saved")
    model = saved_model.read(folder / "moved")
    export.write(folder / "exported", model)
    return model


def standalone(folder: Path) -> Any:
    """The exported `predict.py` as a module."""
    spec = importlib.util.spec_from_file_location("exported_predict", folder / export.PREDICT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_exported_model_answers_as_the_saved_one(tiny_backbone: Path, tmp_path: Path, variant: str) -> None:
    model = exported(tiny_backbone, tmp_path, **VARIANTS[variant])
    other = standalone(tmp_path / "exported").Model(tmp_path / "exported")
    for task in model.config.mixture:
        texts = [example.texts for example in tiny.dataset().tasks[task]["dev"][:12]]
        texts.append(LONG[: len(texts[0])])  # longer than max_length
        mine, theirs = predict.predict(model, task, texts), other.predict(task, texts)
        assert [label for label, _ in theirs] == [each.label for each in mine]
        np.testing.assert_allclose([score for _, score in theirs], [each.score for each in mine], atol=1e-5)
        assert len(other.logits(task, texts)[:, 0].unique()) > 6


def without_template(folder: Path) -> None:
    change_json(folder / "tokenizer.json", post_processor=None)


def with_two_separators(folder: Path) -> None:
    """RoBERTa's template."""
    ends = {"sep": ["[SEP]", 102], "cls": ["[CLS]", 101], "trim_offsets": True, "add_prefix_space": False}
    change_json(folder / "tokenizer.json", post_processor={"type": "RobertaProcessing", **ends})


TOKENIZERS: dict[str, Callable[[Path], None]] = {
    "no template": without_template,
    "two separators": with_two_separators,
    "padding on the left": lambda folder: change_json(folder / "tokenizer_config.json", padding_side="left"),
    "truncation on the left": lambda folder: change_json(folder / "tokenizer_config.json", truncation_side="left"),
    "no segments": lambda folder: change_json(
        folder / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"]
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts_are_framed_as_in_training_whatever_the_tokenizer_does(tiny_backbone: Path, tmp_path: Path, name: str) -> None:
    """The predictions of training's own batches, of `model.predict` and of the export are equal."""
    backbone = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    change_json(backbone / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    TOKENIZERS[name](backbone)
    model = exported(backbone, tmp_path, pair_encoding="cross", mixture=["sst", "sts"])
    answers = exported_answers(tmp_path / "exported")
    Comparison.of(model, {}).check("the export", answers)
    pairs = [example.texts for example in tiny.dataset().tasks["sts"]["dev"][:6]]
    batch = make_batch(tiny.data(), model.config, "sts", "dev", np.arange(6))
    with torch.no_grad():
        trained = model.network(batch, model.network.embed(batch.input_ids))[:, 0].clamp(0, 5)
    np.testing.assert_allclose([score for _, score in answers("sts", pairs)], trained, atol=1e-5)


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_plain_transformers_load_the_encoder(tiny_backbone: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    model = exported(tiny_backbone, tmp_path, pooling="cls")
    encoder, report = AutoModel.from_pretrained(tmp_path / "exported", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs = encoder.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in model.network.encoder.state_dict().items())
    assert len(AutoTokenizer.from_pretrained(tmp_path / "exported")) == len(model.tokenizer)


def test_predict_py_imports_nothing_of_this_project() -> None:
    tree = ast.parse(export.STANDALONE.read_text(encoding="utf-8"))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    roots = {str(name).partition(".")[0] for name in found} - set(sys.stdlib_module_names)
    assert roots == {"torch", "transformers", "safetensors"}


def test_predict_py_is_a_command_with_sentences(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(tiny_backbone, tmp_path, mixture=["sst"])
    command = str(tmp_path / "exported" / export.PREDICT)
    for arguments, said in (
        (["quora", "a", "b"], "there is no task quora; this model has sst"),
        (["sst", "a", "b"], "sst takes 1 text(s), given 2"),
        ([], "python predict.py sst"),
    ):
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        with pytest.raises(SystemExit, match=re.escape(said)):
            runpy.run_path(command, run_name="__main__")
    monkeypatch.setattr(sys, "argv", [command, "sst", "a fine film"])
    runpy.run_path(command, run_name="__main__")
    assert "\t0." in capsys.readouterr().out


@pytest.mark.slow
def test_predict_py_needs_nothing_of_this_project(tiny_backbone: Path, tmp_path: Path) -> None:
    """In a process with another working directory."""
    exported(tiny_backbone, tmp_path, mixture=["sst"])
    command = [sys.executable, "-W", "ignore", str(tmp_path / "exported" / export.PREDICT), "sst", "a fine film"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout.count("\t0.")) == (0, 1), done.stderr
