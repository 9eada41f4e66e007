"""A sampler or pruner is a module with its entry; its name in `tuner.config.options` is all that the rest needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tuner.study.pruners
import tuner.study.samplers
from tuner.config.options import parser
from tuner.space import load
from tuner.study import PRUNERS, SAMPLERS

REGISTRIES = [(SAMPLERS, tuner.study.samplers, "SAMPLER", "--sampler"), (PRUNERS, tuner.study.pruners, "PRUNER", "--pruner")]


@pytest.mark.parametrize(("registry", "package", "entry", "option"), REGISTRIES, ids=["samplers", "pruners"])
def test_every_module_with_an_entry_is_registered(registry: Mapping[str, Any], package: Any, entry: str, option: str) -> None:
    modules = Path(package.__file__).parent.glob("*.py")
    with_entry = {path.stem for path in modules if f"\n{entry} = " in path.read_text(encoding="utf-8")}
    assert with_entry == {name.replace("-", "_") for name in registry}
    assert len({one.description for one in registry.values()}) == len(registry)
    (action,) = [action for action in parser()._actions if option in action.option_strings]
    assert all(name in str(action.help) for name in registry)


@pytest.mark.parametrize("option", ["sampler", "pruner"])
def test_a_space_may_name_every_one(tmp_path: Path, option: str) -> None:
    path = tmp_path / "x.yaml"
    for name in {"sampler": SAMPLERS, "pruner": PRUNERS}[option]:
        path.write_text(f"name: x\noptions: {{{option}: {name}}}\nsearch: {{optim.dropout: {{float: [0.0, 0.5]}}}}\n")
        assert load(path).options == {option: name}
