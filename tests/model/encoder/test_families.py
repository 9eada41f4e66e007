"""The contract of every family of encoders, and which encoders are refused, by what they compute and not by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.config import ConfigError
from model.encoder import backbone, probe
from model.saved_model import export
from model.saved_model import folder as saved_model
from model.saved_model.comparison import Comparison, exported_answers
from model.training.evaluate import predict_split
from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import families, tiny
from tests.support.families import FAMILIES, N_POSITIONS


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's encoder, written at the first call."""
    root = tmp_path_factory.mktemp("families")
    return lambda family: root / family if (root / family).is_dir() else families.write(root / family, family)


def problems_of(folder: Path, max_length: int = 32, pooling: str = "mean") -> list[str]:
    """What the probe says of a backbone, without the folder's name."""
    try:
        probe.check(probe.Request(str(folder), max_length, (pooling,)))
    except ConfigError as error:
        return [problem.replace(str(folder), "X") for problem in error.problems]
    return []


@pytest.mark.parametrize(("pooling", "pair_encoding"), [("cls", "cross"), ("mean", "cosine")])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_trained_saved_read_and_exported(
    folder_of: Callable[[str], Path], tmp_path: Path, family: str, pooling: str, pair_encoding: str
) -> None:
    folder, data = folder_of(family), families.data()
    assert problems_of(folder, pooling=pooling) == []
    settings = {"mixture": ["sst", "sts"], "pair_encoding": pair_encoding, "pooling": pooling}
    config = tiny.config(folder, **settings, budget={"examples": 16, "evaluations": 1})
    with closing(Training(config, data)) as training:
        before = {name: weight.detach().clone() for name, weight in training.loss.network.named_parameters()}
        (evaluation,) = training
        assert isinstance(evaluation, Evaluation)
        assert evaluation.losses["sst/smoothness"] > 0, "word embeddings are perturbed"
        network = training.loss.network
        assert [name for name, weight in network.named_parameters() if torch.equal(weight, before[name])] == []
        trained = {task: predict_split(network, data, config, task, "dev", np.arange(24)) for task in config.mixture}
        training.export(tmp_path / "model", evaluation.metrics)
    model = saved_model.read(tmp_path / "model")
    for task, expected in trained.items():
        np.testing.assert_array_equal(predict_split(model.network, data, config, task, "dev", np.arange(24)), expected)
    export.write(tmp_path / "exported", model)
    texts = {task: [example.texts for example in tiny.dataset().tasks[task]["select"][:6]] for task in config.mixture}
    Comparison.of(model, texts).check("the export", exported_answers(tmp_path / "exported"))


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "mpnet"])
def test_positions_that_begin_after_the_padding_index(folder_of: Callable[[str], Path], family: str) -> None:
    """With padding index 1 the first two of the table are not for tokens."""
    assert problems_of(folder_of(family), N_POSITIONS - 2) == []
    lacking = f"backbone X: max_length is {N_POSITIONS - 1}, but the backbone has {N_POSITIONS - 2} positions; lower it"
    assert problems_of(folder_of(family), N_POSITIONS - 1) == [lacking]
    assert problems_of(folder_of("bert"), N_POSITIONS) == []


UNFIT: dict[str, tuple[str, dict[str, Any], str]] = {
    "a decoder with BERT's weights": ("bert", {"is_decoder": True}, "depends on the texts beside it"),
    "a decoder with RoBERTa's weights": ("roberta", {"is_decoder": True}, "does not attend to all tokens, as in a decoder"),
    "a decoder": ("gpt2", {"n_embd": 32, "n_head": 2, "n_layer": 2}, "does not attend to all tokens, as in a decoder"),
    "Fourier transforms that mix padding in": ("fnet", {}, "depends on the texts beside it"),
    "convolutions over padding": ("convbert", {"embedding_size": 32}, "depends on the texts beside it"),
    "boxes beside tokens": ("bros", {}, "does not run as an encoder on word embeddings (You have to specify bbox)"),
    "three words as one": ("mobilebert", {"embedding_size": 16, "true_hidden_size": 32}, "does not run as an encoder"),
    "a second text to write": ("bart", {"d_model": 32, "encoder_attention_heads": 2}, "does not run as an encoder"),
}
"""Family, settings and what is said, by what is unlike BERT."""


@pytest.mark.parametrize("case", UNFIT)
def test_an_encoder_that_cannot_be_trained_is_refused(tmp_path: Path, case: str) -> None:
    family, settings, said = UNFIT[case]
    (problem,) = problems_of(families.write(tmp_path, family, **settings))
    assert said in problem and problem.endswith("MPNet, ALBERT or ModernBERT, or `embedded`"), problem


@pytest.fixture
def copy(folder_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the tiny BERT, for tests that damage it."""
    return Path(shutil.copytree(folder_of("bert"), tmp_path / "backbone"))


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "half the layers": ({"num_hidden_layers": 1}, "has weights that the encoder of config.json does not use: encoder.layer.1."),
    "no layers": ({"num_hidden_layers": 0}, "has weights that the encoder of config.json does not use: encoder.layer.0."),
    "more layers": ({"num_hidden_layers": 3}, "model.safetensors lacks encoder.layer.2."),
    "bitsandbytes": ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "is quantised"),
    "GPTQ": ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "is quantised"),
    "flash attention": ({"_attn_implementation": "flash_attention_2"}, "needs a package that is not installed"),
    "unknown activation": ({"hidden_act": "superglu"}, "cannot be loaded (KeyError: 'superglu')"),
    "unknown type": ({"model_type": "bert-of-tomorrow"}, "cannot be loaded ("),
    "no such dtype": ({"dtype": "nonsense"}, "cannot be loaded ("),
    "no positions": ({"max_position_embeddings": None}, "cannot be loaded ("),
    "tuples": ({"return_dict": False}, "does not run as an encoder"),
}
"""Changes of config.json and what is said."""


@pytest.mark.parametrize("case", CONFIGS)
def test_settings_that_do_not_fit_are_one_sentence(copy: Path, case: str) -> None:
    changes, said = CONFIGS[case]
    change_json(copy / "config.json", **changes)
    (problem,) = problems_of(copy)
    assert said in problem and "; " in problem and "\n" not in problem, problem


WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "adapters": (lambda w: w | {"encoder.layer.0.lora_A": torch.ones(2)}, "does not use: encoder.layer.0.lora_A"),
    "integers": (lambda w: {n: t.to(torch.int8) if "query" in n else t for n, t in w.items()}, "holds integers, so it is quan"),
    "scales": (lambda w: w | {"encoder.layer.1.attention.self.query.SCB": torch.ones(2)}, "does not use: encoder.layer.1"),
    "not finite": (lambda w: {n: t * torch.nan if "LayerNorm" in n else t for n, t in w.items()}, "outputs are not finite"),
}
"""Changes of the stored weights and what is said."""


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_not_the_encoders_are_refused(copy: Path, case: str) -> None:
    change, said = WEIGHTS[case]
    save_file(change(load_file(copy / "model.safetensors")), copy / "model.safetensors", {"format": "pt"})
    (problem,) = problems_of(copy)
    assert said in problem, problem


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_heads_of_pretraining_may_be_left_over(copy: Path, prefix: str) -> None:
    """And the pooler, which checkpoints of masked-language models lack, may be missing."""
    weights = {name: tensor for name, tensor in load_file(copy / "model.safetensors").items() if "pooler" not in name}
    heads = {"cls.predictions.bias": torch.ones(2), f"{prefix}embeddings.position_ids": torch.arange(N_POSITIONS)[None]}
    save_file({f"{prefix}{n}": t for n, t in weights.items()} | heads, copy / "model.safetensors", {"format": "pt"})
    assert problems_of(copy, pooling="cls") == []


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 612\n"
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "is empty": lambda content: b"",
    "Unexpected UTF-8 BOM": lambda content: b"\xef\xbb\xbf" + content,
    "can't decode byte": lambda content: content.decode().encode("utf-16"),
    "it is not an object": lambda content: b"[" + content + b"]",
    "git lfs pull": lambda content: LFS,
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("said", DAMAGE)
def test_a_damaged_file_is_named(copy: Path, name: str, said: str) -> None:
    path = copy / name
    path.write_bytes(DAMAGE[said](path.read_bytes()))
    (problem,) = problems_of(copy)
    assert problem.startswith(f"backbone X cannot be loaded: {name} is") and said in problem, problem
    if name == "config.json":
        with pytest.raises(ConfigError, match=r"config\.json is"):
            backbone.architecture(str(copy))


def test_pointers_instead_of_weights(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(LFS)
    (problem,) = problems_of(copy)
    assert "model.safetensors is a pointer of Git LFS instead of the weights; run git lfs pull" in problem


@pytest.mark.parametrize("part", ["pre_tokenizer", "normalizer", "decoder"])
def test_a_tokenizer_of_a_newer_library(copy: Path, part: str) -> None:
    change_json(copy / "tokenizer.json", **{part: {"type": "FromTomorrow"}})
    (problem,) = problems_of(copy)
    assert problem.startswith("backbone X has a tokenizer.json that tokenizers ") and "install a newer one" in problem


@pytest.mark.parametrize("missing", [("cls_token", "sep_token"), ("pad_token",)])
def test_a_tokenizer_without_the_tokens_of_a_frame(copy: Path, missing: tuple[str, ...]) -> None:
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({n: v for n, v in settings.items() if n not in missing}))
    (problem,) = problems_of(copy)
    assert f"its tokenizer has no {', no '.join(missing)}, which frame and pad every text; name them in" in problem


def test_a_tokenizer_of_a_package_that_is_not_here(copy: Path) -> None:
    change_json(copy / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")
    change_json(copy / "config.json", model_type="bert")
    (copy / "tokenizer.json").unlink()
    (problem,) = problems_of(copy)
    assert problem.startswith("backbone X ") and "\n" not in problem
