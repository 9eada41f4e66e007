"""Connecting to Ray: a cluster that runs already, or one of this machine's own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import ray
from ray._private import worker
from ray.exceptions import NodeDiedError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster import reach
from cluster.node import Node

T = TypeVar("T")
UNPLACED = ("PENDING", "RESCHEDULING")
RAYS_OWN = "ray/dashboard"
"""In the command lines of drivers that belong to Ray itself."""

TOKEN = (
    "where it asks for a token, set RAY_AUTH_MODE=token, and give the token in RAY_AUTH_TOKEN, in the file that "
    "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"
)


def connect(address: str | None, *, dashboard: bool = True) -> str | None:
    """Join the cluster at `address` (or in RAY_ADDRESS), or start one on this machine. Returns the dashboard's URL.

    One that is started has no dashboard without `dashboard`: half of what Ray's own processes work at their start is for it.

    A process that has joined one keeps it. Raises ConnectionError when there is no cluster at the address, or it refuses this
    process's token, and ValueError when there is an address and the process has joined one already; else as `reach.check`.
    """
    if is_connected():
        if address is not None:
            raise ValueError("this process has joined a Ray cluster already; leave the address out, or ray.shutdown() first")
        url = ray.init(ignore_reinit_error=True, logging_level=logging.ERROR).dashboard_url
        return f"http://{url}" if url else None
    reach.check(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keeps CUDA_VISIBLE_DEVICES as the user set it
    worker._worker_logs_enabled = False  # Ray's words on dead processes would stand on stdout, among the results
    target = reach.target_of(address)
    own = {"include_dashboard": dashboard, "dashboard_host": "127.0.0.1"} if target == "local" else {}
    try:
        with _own_sigterm(), _group_for_children(wanted=target == "local"):
            context = ray.init(address=target, log_to_driver=False, logging_level=logging.ERROR, **own)
    except ray.exceptions.AuthenticationError as error:
        raise ConnectionError(f"{error.message}; {TOKEN}") from None
    except ConnectionError as error:
        raise ConnectionError(f"{error}; {TOKEN}") from None
    url = context.dashboard_url
    return f"http://{url}" if url else None


def is_connected() -> bool:
    """Whether this process has joined a cluster, whoever did it."""
    return bool(ray.is_initialized())


def nodes() -> list[Node]:
    """The nodes that are alive now, this process's first: they may join and leave."""
    from ray._private import state  # what is free on which node, Ray tells nowhere else

    free = state.available_resources_per_node()
    here = ray.get_runtime_context().get_node_id()
    alive = [
        Node(
            identifier=node["NodeID"],
            address=node["NodeManagerAddress"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            free_cpus=free.get(node["NodeID"], {}).get("CPU", 0.0),
            free_gpus=free.get(node["NodeID"], {}).get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(alive, key=lambda node: (node.identifier != here, node.address))


def other_nodes() -> list[Node]:
    """The nodes that are alive now but this one."""
    own = ray.get_runtime_context().get_node_id()
    return [node for node in nodes() if node.identifier != own]


def job() -> str:
    """This driver's name, the same in all its processes, and no other driver's."""
    return f"{worker._global_node.session_name}-{ray.get_runtime_context().get_job_id()}"


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where the driver is: for what reads its disk."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def ask_each(asked: Sequence[Node], question: Callable[..., T], *arguments: Any, timeout_s: float) -> dict[str, T]:
    """The answers of nodes, by address: each runs the question itself. Left out are those that do not answer in time, and those
    that leave meanwhile: Ray counts a node that is gone as alive for some seconds."""
    remote = ray.remote(question)
    calls = {
        node.address: remote.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.identifier, soft=False)
        ).remote(*arguments)
        for node in asked
    }
    ready, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout_s)
    answers: dict[str, T] = {}
    for address, call in calls.items():
        if call in ready:
            with suppress(TaskUnschedulableError, NodeDiedError, WorkerCrashedError):
                answers[address] = ray.get(call)
    return answers


def draining() -> set[str]:
    """Identifiers of the nodes that are about to leave: Ray was told of a preemption, or `ray start --block` of SIGTERM."""
    from ray._private import state

    return set(state.state.get_draining_nodes())


def other_drivers() -> list[str]:
    """Who else uses the cluster: `the process 4711 on 10.0.0.3`, without their command lines, which may hold secrets."""
    from ray._private import state

    own = ray.get_runtime_context().get_job_id()
    return [
        f"the process {job['DriverPid']} on {job['DriverIPAddress']}"
        for job in state.jobs()
        if not job["IsDead"] and job["JobID"] != own and RAYS_OWN not in job["Entrypoint"]
    ]


def is_placed() -> bool:
    """Whether the cluster has found room for every placement group of this driver; their identifiers end with its own."""
    own = ray.get_runtime_context().get_job_id()
    groups = ray.util.placement_group_table().values()
    return not any(group["placement_group_id"].endswith(own) and group["state"] in UNPLACED for group in groups)


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends."""
    ray.shutdown()
    worker._worker_logs_enabled = True


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what this process does on SIGTERM: `ray.init` would have it exit at once."""
    if threading.current_thread() is not threading.main_thread():  # where Ray leaves it alone
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _group_for_children(wanted: bool) -> Iterator[None]:
    """Processes started within get a group of their own, away from the signals that this one's is sent.

    `timeout` ends its whole group: a search whose cluster is gone with the first signal can save nothing. A process that leads
    its group shares it.
    """
    before = os.getpgrp()
    if not wanted or before == os.getpid():
        yield
        return
    os.setpgid(0, 0)
    try:
        yield
    finally:
        with suppress(PermissionError):  # the others of the group have ended meanwhile
            os.setpgid(0, before)
