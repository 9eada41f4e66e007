"""Order and environment of all tests, and the fixtures that several packages of tests share.

Tests with the mark `cluster` run on a Ray: this process's shared one or one of their own. The others run without: a Ray that an
earlier test left joined is left before them.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from tests.support import raylets, tiny

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # else every other test process goes before the ranks of a search

hypothesis.settings.register_profile("by any clock", deadline=None)
hypothesis.settings.load_profile("by any clock")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # xdist hands out files in the order below


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with most cluster tests first, since they take longest; within a file, cluster tests last."""
    n_cluster = Counter(item.path for item in items if is_cluster(item))
    n_tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (-n_cluster[item.path], -n_tests[item.path], item.path, is_cluster(item)))
    for item in items:
        if item.get_closest_marker("gpu") is not None and not has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def is_cluster(item: pytest.Item) -> bool:
    return item.get_closest_marker("cluster") is not None


@cache
def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name in one line what this machine could not provide."""
    reasons = Counter(
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    if reasons:
        listed = "; ".join(f"{reason} ({n_tests})" for reason, n_tests in sorted(reasons.items()))
        terminalreporter.write_line(f"skipped on this machine: {listed}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not is_cluster(item):
        raylets.leave()


def pytest_sessionfinish() -> None:
    raylets.leave()


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny, randomly drawn BERT."""
    return tiny.write_backbone(tmp_path_factory.mktemp("tiny-bert"))
