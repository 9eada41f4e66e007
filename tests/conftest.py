"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import tiny

TESTS = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # else every other test process goes before the ranks of a search

hypothesis.settings.register_profile("by any clock", deadline=None)
hypothesis.settings.load_profile("by any clock")


class ClustersByFile(LoadScopeScheduling):
    """The tests of a file that starts Ray clusters stay together, so that a test process has one cluster at a time; the rest
    are shared out one by one, after them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in with_clusters() else nodeid


@cache
def with_clusters() -> frozenset[str]:
    """Files with tests that are marked so, relative to the project. xdist's own groups do not work with this pytest."""
    files = TESTS.rglob("test_*.py")
    return frozenset(
        path.relative_to(TESTS.parent).as_posix() for path in files if "mark.cluster" in path.read_text(encoding="utf-8")
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClustersByFile:
    return ClustersByFile(config, log)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny, randomly drawn BERT."""
    return tiny.write_backbone(tmp_path_factory.mktemp("tiny-bert"))
