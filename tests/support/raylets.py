"""This test process's shared Ray, and Ray clusters of several nodes on one machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    import ray
    from ray.cluster_utils import Cluster

    leave()
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
        del started
        gc.collect()  # here, where the warnings are expected
