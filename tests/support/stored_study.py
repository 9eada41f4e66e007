"""A study on disk, played by hand."""

from __future__ import annotations

from pathlib import Path

from tests.support import samples
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import Study, Verdict

SPACE = """\
name: tiny
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}
"""


def opened(folder: Path, storage: str) -> Study:
    path = folder / "tiny.yaml"
    if not path.exists():
        path.write_text(SPACE, encoding="utf-8")
    objective = Objective("mean", ("sst", "sts"))
    return Study(storage, "study", load(path), objective, "random", "none", 0, 9, 2)


def play(study: Study, score: float) -> int:
    asked = study.ask()
    assert asked is not None
    for index in (1, 2):
        assert study.report(asked.number, samples.evaluation(index, score, pearson=score)) is Verdict.CONTINUE
    study.complete(asked.number)
    return asked.number
