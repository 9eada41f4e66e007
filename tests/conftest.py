"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support import tiny

TESTS = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # else every other test process goes before the ranks of a search

hypothesis.settings.register_profile("by any clock", deadline=None)
hypothesis.settings.load_profile("by any clock")


class DearFilesTogether(LoadScopeScheduling):
    """A file whose tests start Ray clusters, or share what was made once for all of them, goes to one test process as a whole;
    other tests are shared out one by one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in kept_together() else nodeid


@cache
def kept_together() -> frozenset[str]:
    """Files relative to the project. xdist's own groups do not work with this pytest."""
    marks = ("mark.cluster", 'fixture(scope="module")')
    return frozenset(
        path.relative_to(TESTS.parent).as_posix()
        for path in TESTS.rglob("test_*.py")
        if any(mark in path.read_text(encoding="utf-8") for mark in marks)
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> DearFilesTogether:
    return DearFilesTogether(config, log)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny, randomly drawn BERT."""
    return tiny.write_backbone(tmp_path_factory.mktemp("tiny-bert"))
