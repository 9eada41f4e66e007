"""The checks in their order, on a cluster that is connected: what the driver sees, what each node says, what ranks can do."""

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
from model.data.source import DataSource
from model.encoder import backbone
from tuner.artifacts.addresses import endpoint
from tuner.commands.doctor import judge, ranks, stores
from tuner.commands.doctor.finding import Finding, failed, skipped
from tuner.commands.doctor.node import NodeProbe, existing
from tuner.commands.doctor.subject import Subject
from tuner.execution.rank import process_environment

ANSWER_S = 60.0
DATA_S = 300.0


def examine(subject: Subject) -> Iterator[Finding]:
    """Every finding about this cluster, as soon as it is known."""
    if subject.storage is not None:
        yield stores.database(subject.storage, subject.run_dir)
    if subject.tracking_uri is not None:
        yield stores.tracking(subject.tracking_uri, subject.run_dir)
    untold = {"database": subject.storage, "tracking": subject.tracking_uri}
    yield from (skipped(check, "the options have problems") for check, address in untold.items() if address is None)
    nodes = connect.nodes()
    probes = {node.address: _probe(node) for node in nodes}
    try:
        yield from _nodes(subject, nodes, probes)
    finally:
        ranks.kill(list(probes.values()))
    yield from _ranks(subject, nodes)


def _probe(node: Node) -> Any:
    visible = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # Ray would hide the GPUs from a process that asks for none
    environment = process_environment(1, 1.0) | visible
    return (
        ray.remote(NodeProbe)
        .options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.identifier, soft=False),
            runtime_env={"env_vars": environment},
        )
        .remote()
    )


def _nodes(subject: Subject, nodes: list[Node], probes: dict[str, Any]) -> Iterator[Finding]:
    """What the nodes' probes tell."""
    stored = {"database": endpoint(subject.storage or ""), "tracking": endpoint(subject.tracking_uri or "")}
    endpoints = {name: found for name, found in stored.items() if found is not None}
    arguments = (str(subject.runs_dir), tempfile.gettempdir(), endpoints)
    reports, silent = ask({address: probe.report.remote(*arguments) for address, probe in probes.items()}, ranks.START_S)
    for address, why in silent.items():
        mend = "see whether the node lives, and whether this project is installed there"
        yield failed("node", why, mend, address)
        probes.pop(address)
    if not reports:
        return
    yield from judge.versions(reports)
    yield from judge.code(reports)
    yield from judge.gpus(reports, subject.shape)
    for address, probe in probes.items():
        asked = time.time()
        answer, late = ask({address: probe.clock.remote()}, ANSWER_S)
        yield from (judge.clock(address, asked, time.time(), theirs) for theirs in answer.values())
        yield from (failed("clock", why, node=address) for why in late.values())
    shares_memory = subject.shape is not None and subject.shape.gpus_per_worker > 0 and subject.shape.n_workers > 1
    yield from judge.disks(reports, _need_gib(subject, nodes), shares_memory)
    yield from _folder(subject, probes)
    yield from judge.stores(reports, endpoints)
    yield from _data(subject, probes)


def _folder(subject: Subject, probes: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether all nodes write to one folder of runs: each leaves a file there and looks for the driver's."""
    place = str(existing(subject.runs_dir))
    tokens, late = ask({address: probe.leave_token.remote(place) for address, probe in probes.items()}, ANSWER_S)
    driver = next(iter(tokens.values()), None)
    try:
        looked, blind = ask(
            {address: probe.sees.remote(driver) for address, probe in probes.items() if address in tokens and driver}, ANSWER_S
        )
        written = {address: token is not None for address, token in tokens.items()}
        seen = {address: bool(looked.get(address)) for address in tokens}
        yield from judge.folder(place, written, seen)
        yield from (failed("storage", why, node=address) for address, why in {**late, **blind}.items() if address in late)
    finally:
        ask({address: probes[address].remove.remote(token) for address, token in tokens.items() if token}, ANSWER_S)


def _data(subject: Subject, probes: Mapping[str, Any]) -> Iterator[Finding]:
    if subject.source is None:
        yield skipped("data", "the options have problems")
        return
    source: DataSource = subject.source
    arguments = (source, subject.tasks, subject.skip_bad_rows, subject.arms)
    found, late = ask({address: probe.data.remote(*arguments) for address, probe in probes.items()}, DATA_S)
    yield from judge.data(found, subject.data_sha256)
    yield from (failed("data", why, node=address) for address, why in late.items())


def _ranks(subject: Subject, nodes: list[Node]) -> Iterator[Finding]:
    """What ranks can do: the collectives of a gang, and SMART on its backbone."""
    if subject.shape is None:
        yield from (skipped(check, "the options have problems") for check in ("all-reduce", "backbone", "smart"))
        return
    for planned in ranks.meetings(nodes, subject.shape):
        yield planned if isinstance(planned, Finding) else ranks.reduce(planned)
    if subject.config is None:
        yield from (skipped(check, "the options have problems") for check in ("backbone", "smart"))
        return
    for node in nodes:
        yield from ranks.smart(node, subject.shape, subject.config)


def ask(calls: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], dict[str, str]]:
    """The answers of remote calls by address, and why the others gave none within `seconds`; in the calls' order."""
    done, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds) if calls else ([], [])
    answers: dict[str, Any] = {}
    silent: dict[str, str] = {}
    for address, call in calls.items():
        if call not in done:
            silent[address] = f"no answer within {seconds:g} s"
            continue
        try:
            answers[address] = ray.get(call)
        except Exception as error:
            silent[address] = ranks.reason(error)
    return answers, silent


def _need_gib(subject: Subject, nodes: list[Node]) -> float | None:
    """What the search will write at most at once; None where the size of the backbone is not known."""
    if subject.config is None or subject.shape is None:
        return None
    try:
        folder = Path(backbone.locate(subject.config.backbone))
    except ConfigError:
        return None
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.is_dir() else 0
    slots = subject.shape.slots_of(nodes)
    return judge.disk_need_gib(size, min(slots, subject.max_concurrent or slots)) if size else None
