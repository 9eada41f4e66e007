"""ZeRO-3 with its option: the same trial as without it, checkpoints and export included; an error without the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import ConfigError, parse
from model.saved_model import folder as saved_model
from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import tiny

# DeepSpeed calls collectives that torch has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
ZERO3 = {"zero_stage": 3, "allow_zero3": True}


def run(training: Training) -> list[Evaluation]:
    reported = list(training)
    assert all(isinstance(evaluation, Evaluation) for evaluation in reported)
    return [evaluation for evaluation in reported if isinstance(evaluation, Evaluation)]


@pytest.mark.slow
@pytest.mark.parametrize("reads", [{}, {"pooling": "cls", "pair_encoding": "concat_pooled"}])
def test_trains_saves_and_exports_as_zero_0_does(tiny_backbone: Path, tmp_path: Path, reads: dict[str, str]) -> None:
    data = tiny.data()
    short = {"mixture": ["sst", "sts"], "budget": {"examples": 64, "evaluations": 2}, **reads}
    plain = Training(tiny.config(tiny_backbone, **short), data)
    expected = run(plain)
    plain.close()

    sharded = Training(tiny.config(tiny_backbone, engine=ZERO3, **short), data)
    sharded.advance()
    sharded.save(tmp_path / "checkpoint")
    sharded.close()

    resumed = Training(tiny.config(tiny_backbone, engine=ZERO3, **short), data)
    resumed.load(tmp_path / "checkpoint")
    found = run(resumed)
    resumed.export(tmp_path / "model", found[-1].metrics)
    resumed.close()
    assert [evaluation.step for evaluation in found] == [evaluation.step for evaluation in expected[1:]]
    for ours, theirs in zip(found, expected[1:], strict=True):
        # The correlation of a random encoder's outputs, which hardly differ, moves by 6e-5 with their rounding.
        assert ours.metrics == pytest.approx(theirs.metrics, abs=2e-4)
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-3, abs=1e-6)
    assert saved_model.read(tmp_path / "model").metrics == found[-1].metrics


def test_is_refused_where_heads_go_unused() -> None:
    with pytest.raises(ConfigError, match=r"stale gradients; use mixing\.strategy: loop_to_max"):
        parse({"engine": ZERO3, "mixing": {"strategy": "uniform"}})
