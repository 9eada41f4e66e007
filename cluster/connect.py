"""Connecting to Ray: a cluster that runs already, or one of this machine's own."""

from __future__ import annotations

import logging
import os

import ray


def connect(address: str | None) -> str | None:
    """Join the cluster at `address` (or in RAY_ADDRESS), or start one on this machine. Returns the dashboard's URL.

    Raises ConnectionError when there is no cluster at the address.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keeps CUDA_VISIBLE_DEVICES as the user set it
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": True, "dashboard_host": "127.0.0.1"} if target == "local" else {}
    context = ray.init(address=target, log_to_driver=False, logging_level=logging.ERROR, **own)
    url = context.dashboard_url
    return f"http://{url}" if url else None


def nodes() -> list[tuple[float, float]]:
    """CPUs and GPUs of each node that is alive now: nodes may join and leave."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(found.get("CPU", 0.0), found.get("GPU", 0.0)) for found in alive]


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends."""
    ray.shutdown()
