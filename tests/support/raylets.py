"""A Ray cluster of several nodes on one machine."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
"""For tests with such a cluster: Ray's own starter of nodes leaves sockets to the garbage collector."""


@contextmanager
def cluster(**head: Any) -> Iterator[Any]:
    """A cluster whose first node has these resources, and to which this process belongs: `add_node`, `remove_node`, `address`.

    Its nodes inherit this process's environment.
    """
    import ray
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
        del started
        gc.collect()  # here, where the warnings are expected
