"""The backbone is checked before anything starts, once for each of its states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model.config import ConfigError
from model.encoder import probe
from tests.support import families, tiny
from tuner import search
from tuner.search.plan import backbone
from tuner.search.preflight import estimate

SPACE = """
name: one
metric: sst/accuracy
targets: [sst]
options: {{trials: 2, sampler: random, pruner: none}}
fixed: {{mixture: [sst], backbone: {backbone}, max_length: 32, budget.examples: 64, budget.evaluations: 2}}
search: {{optim.lr: {{float: [1.0e-5, 1.0e-3]}}}}
"""


def forget_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def halve(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))


@pytest.mark.parametrize("damage", [forget_weights, halve])
@pytest.mark.parametrize("arguments", [["--dry-run", "--no-preflight"], ["--no-preflight"]])
def test_a_search_on_an_unfit_backbone_starts_nothing(
    tiny_backbone: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    arguments: list[str],
) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    damage(folder)
    (tmp_path / "one.yaml").write_text(SPACE.format(backbone=folder))
    status = search.main([*arguments, "--space", str(tmp_path / "one.yaml"), "--runs-dir", str(tmp_path / "runs")])
    (sentence,) = capsys.readouterr().err.splitlines()
    assert (status, (tmp_path / "runs").exists()) == (2, False)
    assert sentence.startswith(f"backbone {folder}: ") and "; save the encoder with save_pretrained" in sentence


def test_a_verdict_holds_until_a_file_changes(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    samples, checked = (tiny.config(folder),), []
    run = probe.check
    monkeypatch.setattr(probe, "check", lambda request: (checked.append(request.max_length), run(request)))
    for keep in (False, True, True):
        backbone.check(samples, tmp_path / "runs", keep=keep)
    assert checked == [32, 32]
    backbone.check((tiny.config(folder, max_length=64),), tmp_path / "runs", keep=True)
    assert checked == [32, 32, 64]
    halve(folder)
    with pytest.raises(ConfigError, match=r"weights that the encoder of config\.json does not use"):
        backbone.check(samples, tmp_path / "runs", keep=True)


@pytest.mark.slow
def test_the_driver_checks_in_a_process_of_its_own(tmp_path: Path) -> None:
    decoder = families.write(tmp_path, "gpt2", n_embd=32, n_head=2, n_layer=2)
    with pytest.raises(ConfigError, match="does not attend to all tokens"):
        backbone._check_in_process(probe.Request(str(decoder), 32, ("mean",)))


def test_sizes_are_known_by_each_familys_names(tmp_path: Path) -> None:
    for family in ("bert", "distilbert", "modernbert"):
        assert estimate.layer_parameters(str(families.write(tmp_path / family, family))) == 2 * (4 * 32**2 + 2 * 32 * 64)
