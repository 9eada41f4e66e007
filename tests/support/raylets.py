"""This test process's shared Ray, and Ray clusters of several nodes on one machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
"""For tests with such a cluster: Ray's own starter of nodes leaves sockets to the garbage collector."""


def leave() -> None:
    """Leave the cluster that this process has joined, if any; one that it started ends."""
    if "ray" in sys.modules:
        from cluster import connect

        connect.disconnect()


def join_shared() -> None:
    """Start this test process's shared Ray, unless it has joined a cluster already."""
    from cluster import connect

    if connect.is_connected():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        connect.connect(None, dashboard=False)


@contextmanager
def cluster(**head: Any) -> Iterator[Any]:
    """A cluster whose first node has these resources, and which this process joins in place of the shared Ray: `add_node`,
    `remove_node`, `address`.

    Its nodes inherit this process's environment.
    """
    from ray.cluster_utils import Cluster

    from cluster import connect

    leave()
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        connect.connect(started.address)
        yield started
    finally:
        connect.disconnect()
        started.shutdown()
        del started
        gc.collect()  # here, where the warnings are expected


def actors() -> list[dict[str, Any]]:
    """All that the cluster ever had."""
    from ray._private import state

    return list(state.actors().values())


def ranks() -> list[dict[str, Any]]:
    """Those that are or were ranks of a trial."""
    return [actor for actor in actors() if actor["ActorClassName"] == "RankWorker"]


def living_ranks() -> list[dict[str, Any]]:
    return [rank for rank in ranks() if rank["State"] == "ALIVE"]


def is_running(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
