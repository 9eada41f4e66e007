"""The checks on a connected cluster: stores from the driver, probes on every node, and collectives of ranks."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ray

from cluster import connect
from cluster.node import Node
from model.config import ConfigError
from model.encoder import backbone
from tuner.artifacts.addresses import endpoint, mask_credentials
from tuner.commands.doctor import node_checks, ranks
from tuner.commands.doctor.finding import Finding, failed, skipped, tested
from tuner.commands.doctor.node import NodeProbe, existing
from tuner.commands.doctor.subject import Subject
from tuner.execution.rank import process_environment
from tuner.study import storage as study_storage

STORE_S = 30.0
ANSWER_S = 60.0
DATA_S = 300.0
BAD_OPTIONS = "the options have problems"


def cluster_checks(subject: Subject) -> Iterator[Finding]:
    """Check the connected cluster; yields each finding as soon as it is known."""
    yield database(subject.storage, subject.run_dir) if subject.storage else skipped("database", BAD_OPTIONS)
    yield tracking(subject.tracking_uri, subject.run_dir) if subject.tracking_uri else skipped("tracking", BAD_OPTIONS)
    nodes = connect.nodes()
    visible = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # else Ray hides the GPUs from a process that reserves none
    environment = process_environment(1, 1.0) | visible
    probes = {node.address: ranks.start_actor(NodeProbe, node, 0.0, environment) for node in nodes}
    try:
        yield from _nodes(subject, nodes, probes)
    finally:
        ranks.kill(list(probes.values()))
    yield from _ranks(subject, nodes)


def database(storage: str, run_dir: Path) -> Finding:
    """Check Optuna's storage without writing to it. `run_dir` is the folder that the search will create."""
    advice = "give --storage an address whose server runs, whose database exists and whose user may write"
    return _in_time("database", storage, lambda: study_storage.probe(storage, run_dir), advice)


def tracking(uri: str, run_dir: Path) -> Finding:
    """Check MLflow's store or server without writing to it. `run_dir` as for `database`."""
    from tuner.tracking.mlflow import read_experiment

    def open_store() -> None:
        if uri.startswith(("http", "databricks")):
            read_experiment(uri, "-")
        else:
            study_storage.probe(uri, run_dir)

    advice = "give --tracking-uri a server that answers, or a database that exists"
    return _in_time("tracking", uri, open_store, advice)


def _in_time(check: str, address: str, open_store: Callable[[], Any], advice: str, seconds: float = STORE_S) -> Finding:
    """Check that `open_store` succeeds within `seconds`."""
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            open_store()
        except ConfigError as error:
            outcomes.append("; ".join(error.problems))
        except Exception as error:  # database drivers have their own errors
            outcomes.append(f"{address}: {type(error).__name__}: {error}")
        else:
            outcomes.append("")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    problem = outcomes[0] if outcomes else f"{address} gives no answer within {seconds:g} s"
    return tested(check, mask_credentials(problem), mask_credentials(address), advice)


def _nodes(subject: Subject, nodes: list[Node], probes: dict[str, Any]) -> Iterator[Finding]:
    """The checks of the nodes' probes."""
    addresses = {"database": endpoint(subject.storage or ""), "tracking": endpoint(subject.tracking_uri or "")}
    endpoints = {name: address for name, address in addresses.items() if address is not None}
    arguments = (str(subject.run_dir.parent), tempfile.gettempdir(), endpoints)
    reports, errors = call_all({address: probe.report.remote(*arguments) for address, probe in probes.items()}, ranks.START_S)
    for address, error in errors.items():
        yield failed("node", error, "check that the node is up and has this project installed", address)
        probes.pop(address)
    if not reports:
        return
    yield from node_checks.versions(reports)
    yield from node_checks.code(reports)
    yield from node_checks.gpus(reports, subject.shape)
    for address, probe in probes.items():
        asked_s = time.time()
        times, errors = call_all({address: probe.clock.remote()}, ANSWER_S)
        yield from (node_checks.clock(address, asked_s, time.time(), node_s) for node_s in times.values())
        yield from (failed("clock", error, node=address) for error in errors.values())
    shares_memory = subject.shape is not None and subject.shape.gpus_per_worker > 0 and subject.shape.n_workers > 1
    yield from node_checks.disks(reports, _need_gib(subject, nodes), shares_memory)
    yield from _folder(subject, probes)
    yield from node_checks.stores(reports, endpoints)
    plan = subject.plan
    if plan is None:
        yield skipped("data", BAD_OPTIONS)
        return
    data = (plan.source, plan.tasks, plan.options.skip_bad_rows, plan.arms)
    digests, errors = call_all({address: probe.data.remote(*data) for address, probe in probes.items()}, DATA_S)
    yield from node_checks.data(digests, plan.summary.sha256)
    yield from (failed("data", error, node=address) for address, error in errors.items())


def _folder(subject: Subject, probes: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that all nodes can write to the folder of runs, and see a file of the driver there."""
    place = str(existing(subject.run_dir.parent))
    with ExitStack() as stack:
        name = ""
        with suppress(OSError):
            name = Path(stack.enter_context(tempfile.NamedTemporaryFile(prefix=".doctor-", dir=place)).name).name
        shared, errors = call_all({address: probe.shares.remote(place, name) for address, probe in probes.items()}, ANSWER_S)
    yield from node_checks.folder(place, shared)
    yield from (failed("storage", error, node=address) for address, error in errors.items())


def _ranks(subject: Subject, nodes: list[Node]) -> Iterator[Finding]:
    """The checks of ranks: the collectives of a gang, and SMART on its backbone."""
    shape, config = subject.shape, subject.config
    for group in ranks.rank_groups(nodes, shape) if shape else [skipped("all-reduce", BAD_OPTIONS)]:
        yield group if isinstance(group, Finding) else ranks.check_all_reduce(group)
    if shape is None or config is None:
        yield from (skipped(check, BAD_OPTIONS) for check in ("backbone", "smart"))
        return
    for node in nodes:
        yield from ranks.check_smart(node, shape, config)


def call_all(calls: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], dict[str, str]]:
    """The results of remote calls by address, and the errors of those that fail or take longer than `seconds`; in order."""
    done, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds) if calls else ([], [])
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for address, call in calls.items():
        if call not in done:
            errors[address] = f"no answer within {seconds:g} s"
            continue
        try:
            results[address] = ray.get(call)
        except Exception as error:
            errors[address] = ranks.reason(error)
    return results, errors


def _need_gib(subject: Subject, nodes: list[Node]) -> float | None:
    """The most that the search needs on disk at once; None for a backbone of unknown size."""
    if subject.config is None or subject.shape is None:
        return None
    try:
        folder = Path(backbone.locate(subject.config.backbone))
    except ConfigError:
        return None
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.is_dir() else 0
    slots = subject.shape.slots_of(nodes)
    return node_checks.disk_need_gib(size, min(slots, subject.options.max_concurrent or slots)) if size else None
