"""The checks on a connected cluster: stores from the driver, probes on every node, and collectives of ranks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster import connect
from cluster.node import Node
from model.config import ConfigError
from model.encoder import backbone
from tuner.artifacts.addresses import endpoint
from tuner.commands.doctor import node_checks, ranks, stores
from tuner.commands.doctor.finding import Finding, failed, skipped
from tuner.commands.doctor.node import NodeProbe, existing
from tuner.commands.doctor.subject import Subject
from tuner.execution.rank import process_environment

ANSWER_S = 60.0
DATA_S = 300.0
BAD_OPTIONS = "the options have problems"


def cluster_checks(subject: Subject) -> Iterator[Finding]:
    """Check the connected cluster; yields each finding as soon as it is known."""
    if subject.storage is not None:
        yield stores.database(subject.storage, subject.run_dir)
    if subject.tracking_uri is not None:
        yield stores.tracking(subject.tracking_uri, subject.run_dir)
    addresses = {"database": subject.storage, "tracking": subject.tracking_uri}
    yield from (skipped(check, BAD_OPTIONS) for check, address in addresses.items() if address is None)
    nodes = connect.nodes()
    probes = {node.address: _start_probe(node) for node in nodes}
    try:
        yield from _nodes(subject, nodes, probes)
    finally:
        ranks.kill(list(probes.values()))
    yield from _ranks(subject, nodes)


def _start_probe(node: Node) -> Any:
    visible = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # else Ray hides the GPUs from a process that reserves none
    return (
        ray.remote(NodeProbe)
        .options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.identifier, soft=False),
            runtime_env={"env_vars": process_environment(1, 1.0) | visible},
        )
        .remote()
    )


def _nodes(subject: Subject, nodes: list[Node], probes: dict[str, Any]) -> Iterator[Finding]:
    """The checks of the nodes' probes."""
    addresses = {"database": endpoint(subject.storage or ""), "tracking": endpoint(subject.tracking_uri or "")}
    endpoints = {name: address for name, address in addresses.items() if address is not None}
    arguments = (str(subject.runs_dir), tempfile.gettempdir(), endpoints)
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
    if subject.source is None:
        yield skipped("data", BAD_OPTIONS)
        return
    data = (subject.source, subject.tasks, subject.skip_bad_rows, subject.arms)
    digests, errors = call_all({address: probe.data.remote(*data) for address, probe in probes.items()}, DATA_S)
    yield from node_checks.data(digests, subject.data_sha256)
    yield from (failed("data", error, node=address) for address, error in errors.items())


def _folder(subject: Subject, probes: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that all nodes share the folder of runs: each writes a file there and looks for the driver's."""
    place = str(existing(subject.runs_dir))
    tokens, errors = call_all({address: probe.leave_token.remote(place) for address, probe in probes.items()}, ANSWER_S)
    driver = next(iter(tokens.values()), None)
    try:
        readers = {address: probe for address, probe in probes.items() if address in tokens and driver}
        is_seen, _ = call_all({address: probe.sees.remote(driver) for address, probe in readers.items()}, ANSWER_S)
        written = {address: token is not None for address, token in tokens.items()}
        yield from node_checks.folder(place, written, {address: bool(is_seen.get(address)) for address in tokens})
        yield from (failed("storage", error, node=address) for address, error in errors.items())
    finally:
        call_all({address: probes[address].remove.remote(token) for address, token in tokens.items() if token}, ANSWER_S)


def _ranks(subject: Subject, nodes: list[Node]) -> Iterator[Finding]:
    """The checks of ranks: the collectives of a gang, and SMART on its backbone."""
    if subject.shape is None:
        yield from (skipped(check, BAD_OPTIONS) for check in ("all-reduce", "backbone", "smart"))
        return
    for group in ranks.rank_groups(nodes, subject.shape):
        yield group if isinstance(group, Finding) else ranks.check_all_reduce(group)
    if subject.config is None:
        yield from (skipped(check, BAD_OPTIONS) for check in ("backbone", "smart"))
        return
    for node in nodes:
        yield from ranks.check_smart(node, subject.shape, subject.config)


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
    return node_checks.disk_need_gib(size, min(slots, subject.max_concurrent or slots)) if size else None
