"""Features on a real shelf: computed once, whoever asks at the same time; a rank that dies over them leaves them to another."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from tests.support import raylets
from tuner.execution.feature_cache import open_shelf, shared

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Asker:
    """A rank that asks for features; `log` gets a line for each computation, which waits for a file `.go` beside it."""

    def ask(self, shelf: Any, key: str, log: str, dies: bool = False) -> tuple[float, bool]:
        def compute() -> dict[str, np.ndarray]:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{key}\n")
            while not Path(log).with_suffix(".go").exists():
                time.sleep(0.02)
            if dies:
                os._exit(1)
            return {"train": np.full((2, 50, 1000), 3.0, dtype=np.float32)}

        found = shared(shelf, key, compute)["train"]
        return float(found.mean()), bool(found.flags.owndata)

    def idle(self) -> None:
        return


@pytest.fixture(scope="module")
def cluster() -> None:
    raylets.join_shared()


def askers(n: int) -> list[Any]:
    return [ray.remote(Asker).options(num_cpus=0).remote() for _ in range(n)]


def wait_for(log: Path) -> None:
    """Until somebody computes."""
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.exists()


def let_go(log: Path) -> None:
    wait_for(log)
    log.with_suffix(".go").touch()


def test_features_are_computed_once_and_read_without_a_copy(cluster: None, tmp_path: Path) -> None:
    shelf, ranks, log = open_shelf(), askers(3), tmp_path / "log"
    asked = [rank.ask.remote(shelf, "one", str(log)) for rank in ranks]
    let_go(log)
    found = ray.get(asked)
    assert [mean for mean, _ in found] == [3.0] * 3
    assert log.read_text(encoding="utf-8") == "one\n"
    assert sum(owns for _, owns in found) == 1, "the others see the object store's own memory"
    ray.kill(ranks[0])
    ray.kill(ranks[1])
    assert ray.get(ranks[2].ask.remote(shelf, "one", str(log))) == (3.0, False), "they outlive whoever computed them"
    assert ray.get(ranks[2].ask.remote(shelf, "other", str(log)))[0] == 3.0
    assert log.read_text(encoding="utf-8") == "one\nother\n"


def test_a_rank_that_dies_leaves_them_to_another(cluster: None, tmp_path: Path) -> None:
    shelf, (first, second), log = open_shelf(), askers(2), tmp_path / "log"
    doomed = first.ask.remote(shelf, "one", str(log), dies=True)
    wait_for(log)
    asked = second.ask.remote(shelf, "one", str(log))
    let_go(log)
    assert ray.get(asked, timeout=30) == (3.0, True)
    assert log.read_text(encoding="utf-8") == "one\none\n"
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(doomed)


def test_without_a_shelf_a_rank_computes_its_own(cluster: None, tmp_path: Path) -> None:
    shelf, (rank,), log = open_shelf(), askers(1), tmp_path / "log"
    ray.kill(shelf)
    log.with_suffix(".go").touch()
    assert ray.get(rank.ask.remote(shelf, "one", str(log)), timeout=30)[0] == 3.0
