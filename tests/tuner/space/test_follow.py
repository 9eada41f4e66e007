"""A setting that follows another: its value is told, never drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import ConfigError
from tuner.space import Space, load

FOLLOWING = """\
name: following
fixed: {mode: finetune}
search:
  optim.head_lr: {follow: mode, values: {finetune: 1.0e-5, pretrain: 1.0e-3}}
  optim.lr: {follow: mixture, values: {sst: 1.0e-4, sst+sts: 2.0e-4}, when: {smart.enabled: true}}
  optim.clip_norm: {follow: smart.enabled, values: {"true": 1.0, "false": 0.0}}
  mixture: {choice: [[sst], [sst, sts]]}
  smart.enabled: {choice: [true, false]}
"""


def space_of(folder: Path, text: str) -> Space:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.fixture
def following(tmp_path: Path) -> Space:
    return space_of(tmp_path, FOLLOWING)


def test_the_value_is_that_of_the_leaders_label(following: Space) -> None:
    configs = [following.config(point) for point in following.grid_points()]
    assert len(configs) == 4, "what follows adds no point to the grid"
    for config in configs:
        alone, smart = len(config.mixture) == 1, config.smart.enabled
        assert config.optim.head_lr == 1e-5
        assert config.optim.lr == ((1e-4 if alone else 2e-4) if smart else 2e-5), "its own condition holds as well"
        assert config.optim.clip_norm == float(smart)


def test_nothing_is_drawn_for_it(following: Space) -> None:
    assert {name for point in following.grid_points() for name in point} == {"mixture", "smart.enabled"}


def test_a_leader_that_is_fixed_on_the_command_line_is_followed(following: Space) -> None:
    fixed = following.fix({"mode": "pretrain", "mixture": ["sst", "sts"]})
    assert {(config.optim.head_lr, config.optim.lr) for config in map(fixed.config, fixed.grid_points())} == {
        (1e-3, 2e-4),
        (1e-3, 2e-5),
    }


def test_a_leader_may_not_be_fixed_to_what_it_has_no_value_for(following: Space) -> None:
    with pytest.raises(
        ConfigError, match=r"optim.lr follows mixture, which is quora: it has values for sst, sst\+sts; set it too"
    ):
        following.fix({"mixture": ["quora"]})
    assert following.fix({"mixture": ["quora"], "optim.lr": 1e-3}).n_grid == 2


def test_it_can_be_fixed_itself(following: Space) -> None:
    fixed = following.fix({"optim.head_lr": 0.5})
    assert {fixed.config(point).optim.head_lr for point in fixed.grid_points()} == {0.5}


def test_the_space_tells_what_it_follows(following: Space) -> None:
    searched = following.to_dict()["search"]
    assert searched["optim.head_lr"] == {"follow": "mode", "values": {"finetune": 1e-5, "pretrain": 1e-3}}
    assert searched["optim.lr"]["when"] == {"smart.enabled": [True]}


@pytest.mark.parametrize(("entry", "expected"), [
    ("{follow: mode}", "follows mode without `values`; write {follow: mode, values: {LABEL: VALUE, ...}}"),
    ("{follow: 3, values: {a: 1}}", "follow: must be text, given 3"),
    ("{follow: optim.lr, values: {a: 1.0}}", "follow is 'optim.lr'; it must name another setting"),
    ("{follow: pooling, values: {cls: 1.0}}", "follows pooling, which is neither searched nor fixed"),
    ("{follow: smart.steps, values: {a: 1.0}}", "follows smart.steps; it can follow a choice without `when`"),
    ("{follow: mixture, values: {sst: 1.0}}", "has no value for mixture sst+sts; add one for each"),
    ("{follow: mode, values: {finetune: -1.0}}", "optim.lr: input should be greater than 0"),
    ("{follow: mode, values: {pretrain: 1.0}}", "optim.lr follows mode, which is finetune: it has values for pretrain"),
    ("{follow: mode, values: {finetune: 1.0}, log: true}", "unknown key log; the keys are when, follow, values"),
])  # fmt: skip
def test_mistakes_are_told(tmp_path: Path, entry: str, expected: str) -> None:
    steps = "  smart.steps: {int: [0, 2]}\n"
    lines = [f"  optim.lr: {entry}" if line.startswith("  optim.lr") else line for line in FOLLOWING.splitlines()]
    with pytest.raises(ConfigError) as raised:
        space_of(tmp_path, "\n".join(lines) + "\n" + steps)
    assert any(expected in problem for problem in raised.value.problems), raised.value.problems


def test_it_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"start: optim\.clip_norm depends on smart\.enabled; name it too, or take it out"):
        space_of(tmp_path, FOLLOWING + "start: [{optim.clip_norm: 1.0}]\n")
