"""The checks of the nodes' reports: pure functions from reports, by address, to findings. The driver's node comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cluster.shape import GangShape
from tuner.commands.doctor.finding import Finding, failed, passed, skipped, tested
from tuner.commands.doctor.node import NodeReport

MOST_SKEW_S = 2.0
"""Largest tolerated difference of two nodes' clocks, for time stamps in logs."""
MOST_USED = 0.95
"""Share of a disk above which Ray starts no more tasks on its node."""
SHARED_MEMORY_GIB = 1.0
"""Least shared memory for NCCL's ranks on one node and Ray's object store."""
RESERVE_GIB = 1.0
"""Space for logs, study and MLflow."""
COPIES_PER_TRIAL = 9
"""A running trial's files in units of its weights: two checkpoints of weights, two moments and a teacher, and its model."""
COPIES_KEPT = 2
"""The best trial's model and the champion."""


def versions(reports: Mapping[str, NodeReport]) -> list[Finding]:
    """The same package versions everywhere."""
    (first, report), *others = reports.items()
    missing = ", ".join(sorted(name for name, version in report.versions.items() if version is None))
    installed = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    findings = [tested("versions", missing and f"no {missing}", installed, "make search installs it", first)]
    for address, other in others:
        differences = ", ".join(
            f"{name} is {other.versions.get(name) or 'missing'}, on {first} {report.versions.get(name) or 'missing'}"
            for name in sorted({*report.versions, *other.versions})
            if report.versions.get(name) != other.versions.get(name)
        )
        advice = "install the same with pip install -c constraints.txt"
        findings.append(tested("versions", differences, f"as on {first}", advice, address))
    return findings


def code(reports: Mapping[str, NodeReport]) -> list[Finding]:
    """The driver's code everywhere."""
    (first, report), *others = reports.items()
    findings = [passed("code", f"digest {report.code[:12]}", first)]
    for address, other in others:
        problem = "" if other.code == report.code else f"its digest is {other.code[:12]}, on {first} {report.code[:12]}"
        advice = f"bring this project's folder to the state of {first}"
        findings.append(tested("code", problem, f"as on {first}", advice, address))
    return findings


def gpus(reports: Mapping[str, NodeReport], shape: GangShape | None) -> list[Finding]:
    """GPUs, driver, and whether torch can use them."""
    needs_gpu = shape is None or shape.gpus_per_worker > 0
    if needs_gpu and shape is not None and not any(report.gpus for report in reports.values()):
        advice = "use --gpus-per-worker 0 and --profile laptop, or a node with a GPU that torch can use"
        return [failed("gpus", f"a trial asks for {shape.describe()}, and no node has a GPU", advice)]
    findings = []
    for address, report in reports.items():
        kinds = Counter((gpu["name"], gpu["driver"]) for gpu in report.gpus)
        listed = ", ".join(f"{n} × {name} (driver {driver})" for (name, driver), n in kinds.items())
        advice = "install torch for CUDA at the version of constraints.txt, or a driver that is new enough for it"
        if not report.gpus:
            reason = "there is none on this node" + ("" if needs_gpu else ", and a trial asks for none")
            findings.append(skipped("gpus", reason, address))
        else:
            problem = f"{listed}, but {report.cuda}" if report.cuda else ""
            findings.append(tested("gpus", problem, f"{listed}; torch computes on each", advice, address))
    return findings


def clock(address: str, asked_s: float, answered_s: float, node_s: float) -> Finding:
    """Clock skew. `asked_s` and `answered_s` are the driver's times around the node's answer `node_s`."""
    skew = max(asked_s - node_s, node_s - answered_s, 0.0)  # beyond the latency of the answer
    problem = f"{skew:.1f} s {'behind' if node_s < asked_s else 'ahead of'} the driver's" if skew > MOST_SKEW_S else ""
    fact = f"within {skew + answered_s - asked_s:.2g} s of the driver's"
    return tested("clock", problem, fact, "synchronise the clocks (chrony, systemd-timesyncd)", address)


def disks(reports: Mapping[str, NodeReport], need_gib: float | None, shares_memory: bool) -> list[Finding]:
    """Free space on every node. `need_gib` is what the search writes into the folder of its runs; None if unknown."""
    findings = []
    for address, report in reports.items():
        problems, facts = [], []
        for name, disk in report.disks.items():
            facts.append(f"{disk.free_gib:.1f} GiB free for {name} ({disk.path})")
            if name == "runs" and need_gib is not None and disk.free_gib < need_gib:
                need = f"a search needs about {need_gib:.1f} GiB: give another --runs-dir, or make room"
                problems.append(f"{facts[-1]}, and {need}")
            elif name == "temporary" and disk.used > MOST_USED:
                problems.append(f"{disk.path} is {disk.used:.0%} full, and above {MOST_USED:.0%} Ray starts nothing: make room")
            elif name == "shared memory" and shares_memory and disk.free_gib < SHARED_MEMORY_GIB:
                problems.append(f"{facts[-1]}, and NCCL needs {SHARED_MEMORY_GIB:g}: in a container use --shm-size=8g")
        findings.append(tested("disk", "; ".join(problems), ", ".join(facts), node=address))
    return findings


def disk_need_gib(weights_bytes: int, slots: int) -> float:
    """The most that a search with `slots` running trials needs on disk at once, in GiB."""
    return RESERVE_GIB + weights_bytes * (slots * COPIES_PER_TRIAL + COPIES_KEPT) / 2**30


def stores(reports: Mapping[str, NodeReport], endpoints: Mapping[str, tuple[str, int]]) -> list[Finding]:
    """Every node can connect to the stores on the network."""
    findings = []
    for name, (host, port) in endpoints.items():
        advice = f"start it, or let this node reach port {port} of {host}"
        for address, report in reports.items():
            reason = report.unreachable.get(name)
            problem = f"{host}:{port} cannot be reached: {reason}" if reason else ""
            findings.append(tested(name, problem, f"{host}:{port} answers", advice, address))
    return findings


def data(digests: Mapping[str, str | list[str]], expected: str | None) -> list[Finding]:
    """Every node reads the same data. `digests`: by address their SHA-256, or the problems of reading them."""
    findings = []
    for address, digest in digests.items():
        problem, fact, advice = "", f"SHA-256 {digest[:12]}", "copy them"
        if isinstance(digest, list):
            problem = "; ".join(digest)
            advice = "a node without the data cannot prepare them: bring the folder to the same path there"
        elif digest != expected:
            problem = f"its data have {fact}, the driver's {(expected or '')[:12]}"
        findings.append(tested("data", problem, fact, advice, address))
    return findings


def folder(runs_dir: str, shared: Mapping[str, tuple[bool, bool]]) -> list[Finding]:
    """All nodes share the folder of runs: `shared` says of each whether it can write to it and sees the driver's file."""
    findings = []
    for address, (can_write, sees_driver) in shared.items():
        problem, advice = "", ""
        if not can_write:
            problem, advice = f"{runs_dir} cannot be written", "let this user write there, or give another --runs-dir"
        elif not sees_driver:
            problem = f"{runs_dir} is not the driver's folder"
            advice = "all nodes store checkpoints and models there: mount one folder on all, and name it with --runs-dir"
        findings.append(tested("storage", problem, f"{runs_dir} can be written", advice, address))
    return findings
