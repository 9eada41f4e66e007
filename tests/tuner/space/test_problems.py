"""Every mistake in a space's file is found, in one message, with its line and its mend."""

# ruff: noqa: E501  (the tables read best unbroken)

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import ConfigError
from tuner.space import load

BROKEN = """\
name: broken
metrc: mean
targets: [sst, qora]
options: {trials: 0, sampler: tpee, prunr: median}
fixed:
  mode: finetune
  optim.batch_size: lots
  smart:
    beta: 2.0
    epsilonn: 1.0
search:
  optim.lrr: {float: [1.0e-5, 1.0e-4]}
  optim.lr: {float: [1e-5, 1e-4], log: true}
  optim.head_lr: {float: [0.0, 1.0e-3], log: true}
  optim.dropout: {float: [0.0, 1.5]}
  optim.warmup: {float: [0.2, 0.1]}
  optim.weight_decay: {uniform: [0.0, 0.1]}
  optim.clip_norm: {float: [1.0, 1.0]}
  optim.accumulation: {int: [1, 4], step: 2}
  optim.decay: {choice: [linear, linear, quadratic]}
  mode: {choice: [finetune, pretrain]}
  mixture: {choice: [[sst], [sst, imdb]]}
  pooling: {choice: []}
  pair_encoding: {choice: [cross], lg: true}
  max_length: {int: [16, 64], log: true, step: 8}
  smart.enabled: {choice: [true, false]}
  smart.enabled: {choice: [true]}
  smart.epsilon: {float: [1.0e-6, 1.0e-2], when: {smart.enabeld: true}}
  smart.eta: {float: [1.0e-6, 1.0e-2], when: {smart.steps: 5}}
  smart.steps: {int: [0, 3], when: {smart.mu: 1.0}}
  smart.mu: {choice: [0.0, 1.0], when: {smart.steps: 1}}
  smart.sigma: {float: [1.0e-6, 1.0e-2], when: {optim.clip_norm: 1.0}}
  smart.lambda: {float: [0.1, 1.0], when: {backbone: embedded}}
  mixing.temperature: {simplex: [-1.0, 1.0]}
"""

EXPECTED = {
    2: ["unknown key metrc (did you mean metric?)"],
    3: ["unknown target qora (did you mean quora?)"],
    4: ["options: trials: input should be greater than or equal to 1, given 0", "options: sampler: input should be 'tpe'", "options: unknown key prunr (did you mean pruner?)"],
    7: ["optim.batch_size: input should be a valid integer, given 'lots'"],
    9: ["smart.beta: input should be less than or equal to 1, given 2.0"],
    10: ["unknown setting smart.epsilonn (did you mean smart.epsilon?)"],
    12: ["unknown setting optim.lrr (did you mean optim.lr?)"],
    13: ["given '1e-5'; YAML reads 1e-5 as text, write 1.0e-05", "given '1e-4'; YAML reads 1e-4 as text, write 0.0001"],
    14: ["optim.head_lr: low is 0", "optim.head_lr: input should be greater than 0"],
    15: ["optim.dropout: input should be less than 1, given 1.5"],
    16: ["optim.warmup: the range [0.2, 0.1] is reversed; write [0.1, 0.2]"],
    17: ["unknown kind uniform; the kinds are choice, int, float, simplex"],
    18: ["optim.clip_norm: the range [1, 1] is empty"],
    19: ["optim.accumulation: steps of 2 from 1 do not end at 4"],
    20: ["optim.decay: choice repeats linear", "optim.decay: input should be 'linear', 'cosine' or 'constant', given 'quadratic'"],
    21: ["mode is fixed in line 6 and searched here"],
    22: ["mixture names imdb; the tasks are sst, quora, sts, cfimdb"],
    23: ["pooling: choice: must not be empty, given []"],
    24: ["pair_encoding: unknown key lg"],
    25: ["max_length: has both `log` and `step`"],
    27: ["smart.enabled is already given in line 26"],
    28: ["smart.epsilon: `when` names the unknown parameter smart.enabeld (did you mean smart.enabled?)"],
    29: ["smart.eta: smart.steps can never be 5; its values are 0 to 3"],
    30: ["conditions form a circle: smart.steps → smart.mu → smart.steps"],
    33: ["smart.lambda: `when` names backbone, which is not searched"],
    34: ["mixing.temperature: a simplex"],
}  # fmt: skip


def problems_of(tmp_path: Path, text: str, profile: str | None = None) -> list[str]:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, profile)
    prefix = f"{path}:"
    assert all(problem.startswith(prefix) for problem in caught.value.problems), caught.value.problems
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def test_every_problem_of_a_file_comes_at_once_with_its_line(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, BROKEN)
    expected = [(line, sentence) for line, sentences in EXPECTED.items() for sentence in sentences]
    missing = [item for item in expected if not any(p.startswith(f"{item[0]}: ") and item[1] in p for p in problems)]
    assert not missing, "\n".join(problems)
    assert len(problems) == len(expected), "\n".join(problems)
    assert [int(p.partition(":")[0]) for p in problems] == sorted(int(p.partition(":")[0]) for p in problems)


ONE_MISTAKE = {
    "name: x": "1: the key search is missing",
    "name: a/b\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "1: name: use letters, digits, dots, dashes and underscores",
    "name: ''\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "1: name: use letters, digits, dots, dashes and underscores",
    "name: x\nrenamed: {a: [optim.lr]}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "2: renamed: a: must be text, given ['optim.lr']",
    "name: x\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4], name: y}": "3: optim.lr: unknown key name",
    "name: x\nsearch: {float: [1.0, 2.0], optim.lr: {float: [2.0, 1.0]}}": "2: optim.lr: the range [2, 1] is reversed",
    "name: x\nsearch:\n  optim.warmup: {float: [0.0, 0.2], step: 1.0e-40}": "3: optim.warmup: steps of 1e-40 are lost in rounding at 0.2",
    "name: x\nsearch: {}": "2: search names no parameter",
    "name: x\nsearch: 3": "2: search: must be a mapping, given 3",
    "- a": "1: a space is a mapping",
    "name: [x": "1: not YAML",
    "name: x\nsearch: {\n": "3: not YAML",
    "name: x\nsearch:\n  optim.lr: 3": "3: optim.lr: 3 is not a parameter",
    "name: x\nsearch:\n  optim.lr: {log: true}": "3: optim.lr: has no kind",
    "name: x\nsearch:\n  optim.lr: {int: [1, 2], float: [1, 2]}": "3: optim.lr: has the kinds int, float; keep one",
    "name: x\nsearch:\n  smart: {choice: [1]}": "3: smart is a section, not a setting",
    "name: x\nsearch:\n  smart.steps: {int: [0, 2.5]}": "3: smart.steps: int: input should be a valid integer, given 2.5",
    "name: x\nsearch:\n  smart.steps: {int: [0, 20]}": "3: smart.steps: input should be less than or equal to 10",
    "name: x\nsearch:\n  smart.steps: {float: [0, 2]}": "3: smart.steps: input should be a valid integer",
    "name: x\nsearch:\n  smart.enabled: {choice: [1, 0]}": "3: smart.enabled: input should be a valid boolean",
    "name: x\nsearch:\n  optim.lr: {choice: ['1e-5']}": "3: optim.lr: input should be a valid number, given '1e-5'; YAML reads 1e-5 as text, write 1.0e-05",
    "name: x\nfixed: {mixture: 5}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "2: mixture",
    "name: x\nfixed: {smart: {steps: 1}, smart.steps: 2}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "2: smart.steps is already fixed in line 2",
    "name: x\nfixed: {budget.examples: 9, budget.epochs: 1}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "3: a configuration drawn from this space is refused: ",
    "name: x\nsearch: &a\n  optim.lr: *a": "3: an alias that contains itself",
    "name: x\na0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)): "1: it has more than 100000 values",
    "name: x\nmetric: sst/f2\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}": "2: unknown metric sst/f2 (did you mean sst/f1?)",
    "name: x\nsearch:\n  smart.mu: {choice: [0.0, 1.0]}\n  smart.steps: {int: [0, 3], when: {smart.mu: 1.0}}\n"
    "  smart.eta: {float: [0.1, 1.0], when: {smart.steps: 1, smart.mu: 0.0}}": "5: smart.eta: can never be active: ",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ONE_MISTAKE.items(), ids=[*ONE_MISTAKE.values()])
def test_a_mistake_is_told(tmp_path: Path, text: str, expected: str) -> None:
    problems = problems_of(tmp_path, text)
    assert any(problem.startswith(expected) for problem in problems), problems


GOOD = """\
name: good
search:
  mixture: {choice: [[sst, sts], [sst]]}
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 3], when: {smart.enabled: true}}
  mixing.strategy: {choice: [sqrt, ratios]}
  mixing.ratios: {simplex: [-1.0, 1.0], when: {mixing.strategy: ratios}}
"""

BAD_STARTS = {
    "{smart.enabled: maybe}": "smart.enabled 'maybe' is outside the space {'choice': [True, False]}",
    "{smart.enabled: 1}": "smart.enabled 1 is outside the space",
    "{smart.enabled: true, smart.steps: 4}": "smart.steps 4 is outside the space",
    "{smart.enabled: true, smart.steps: 1.5}": "smart.steps 1.5 is outside the space",
    "{smart.enabled: false, smart.steps: 1}": "smart.steps is inactive here: it needs smart.enabled True",
    "{smart.steps: 1}": "smart.steps depends on smart.enabled; name it too",
    "{optim.lr: 1.0}": "optim.lr is not searched here",
    "3": "3 is not a configuration",
    "{mixture: [sst, sts], mixing.strategy: ratios, mixing.ratios: {sst: 0.9, sts: 0.1}}": "mixing.ratios",
    "{mixture: [sst, sts], mixing.strategy: ratios, mixing.ratios: {sst: 0.5}}": "mixing.ratios",
}


@pytest.mark.parametrize(("start", "expected"), BAD_STARTS.items())
def test_a_start_outside_the_space_is_told(tmp_path: Path, start: str, expected: str) -> None:
    (problem,) = problems_of(tmp_path, f"{GOOD}start:\n  - {start}\n")
    assert problem.startswith(f"9: start: {expected}")


def test_an_unknown_profile_lists_the_profiles(tmp_path: Path) -> None:
    text = f"{GOOD}profiles:\n  laptop: {{}}\n  gpu: {{}}\n"
    (problem,) = problems_of(tmp_path, text, "laptp")
    assert problem.startswith("8: ") and "laptp (did you mean laptop?)" in problem and problem.endswith("laptop, gpu")


def test_problems_of_a_profile_that_is_not_asked_for_are_told_too(tmp_path: Path) -> None:
    text = f"{GOOD}profiles:\n  laptop:\n    fixd: {{}}\n    search:\n      smart.steps: {{int: [3, 0]}}\n"
    problems = problems_of(tmp_path, text)
    assert [problem.partition(":")[0] for problem in problems] == ["10", "12"]
    assert all(": profile laptop: " in problem for problem in problems)


def test_an_unknown_space_lists_the_spaces() -> None:
    with pytest.raises(ConfigError, match=r"no space smart_mlt \(did you mean smart_mtl\?\); the spaces are .*smart_mtl"):
        load("smart_mlt")
    with pytest.raises(ConfigError, match=r"no file spaces/mine\.yaml"):
        load("spaces/mine.yaml")


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(path)
