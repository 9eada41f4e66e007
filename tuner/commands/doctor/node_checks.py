"""What nodes say of themselves, judged: pure functions from reports to findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cluster.shape import GangShape
from tuner.commands.doctor.finding import Finding, failed, passed, skipped
from tuner.commands.doctor.node import NodeReport

MOST_SKEW_S = 2.0
"""Difference of two nodes' clocks above which logs and time stamps mislead."""
MOST_USED = 0.95
"""Share of a disk above which Ray starts no more work on its node."""
SHARED_MEMORY_GIB = 1.0
"""What NCCL's ranks on one node and Ray's object store want at least."""
RESERVE_GIB = 1.0
"""Room for logs, study and MLflow."""
COPIES_PER_TRIAL = 9
"""A running trial's files in units of its weights: two checkpoints of weights, two moments and a teacher, and its model."""
COPIES_KEPT = 2
"""The best trial's model and the champion."""


def versions(reports: Mapping[str, NodeReport]) -> list[Finding]:
    """The same packages and the same code everywhere: `reports` by address, the driver's node first."""
    (here, mine), *others = reports.items()
    missing = ", ".join(sorted(name for name, version in mine.versions.items() if version is None))
    told = ", ".join(f"{name} {version}" for name, version in mine.versions.items())
    first = failed("versions", f"no {missing}", "make search installs it", here) if missing else passed("versions", told, here)
    return [first, *(_versions(report.versions, address, mine.versions, here) for address, report in others)]


def _versions(theirs: Mapping[str, str | None], address: str, mine: Mapping[str, str | None], here: str) -> Finding:
    told = ", ".join(
        f"{name} is {theirs.get(name) or 'missing'}, on {here} {mine.get(name) or 'missing'}"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    )
    if told:
        return failed("versions", told, "install the same with pip install -c constraints.txt", address)
    return passed("versions", f"as on {here}", address)


def code(reports: Mapping[str, NodeReport]) -> list[Finding]:
    """Whether every node has the driver's code."""
    (here, mine), *others = reports.items()
    mend = f"bring this project's folder to the state of {here}"
    return [passed("code", f"digest {mine.code[:12]}", here)] + [
        passed("code", f"as on {here}", address)
        if report.code == mine.code
        else failed("code", f"its digest is {report.code[:12]}, on {here} {mine.code[:12]}", mend, address)
        for address, report in others
    ]


def gpus(reports: Mapping[str, NodeReport], shape: GangShape | None) -> list[Finding]:
    """GPUs, driver, and whether torch computes on them."""
    wanted = shape is None or shape.gpus_per_worker > 0
    if wanted and shape is not None and not any(report.gpus for report in reports.values()):
        mend = "use --gpus-per-worker 0 and --profile laptop, or a node whose nvidia-smi lists a GPU"
        return [failed("gpus", f"a trial asks for {shape.describe()}, and no node has a GPU", mend)]
    return [_gpus(report, address, wanted) for address, report in reports.items()]


def _gpus(report: NodeReport, address: str, wanted: bool) -> Finding:
    if not report.gpus:
        return skipped("gpus", "there is none on this node" + ("" if wanted else ", and a trial asks for none"), address)
    kinds = Counter((gpu["name"], gpu["driver"]) for gpu in report.gpus)
    told = ", ".join(f"{n} × {name} (driver {driver})" for (name, driver), n in kinds.items())
    if report.cuda:
        mend = "install torch for CUDA at the version of constraints.txt, or a driver that is new enough for it"
        return failed("gpus", f"{told}, but {report.cuda}", mend, address)
    return passed("gpus", f"{told}; torch computes on each", address)


def clock(address: str, asked: float, answered: float, theirs: float) -> Finding:
    """Clock skew. `asked` and `answered` are the driver's times around the node's answer, in seconds."""
    skew = max(asked - theirs, theirs - answered, 0.0)  # what the answer's journey cannot explain
    if skew > MOST_SKEW_S:
        word = "behind" if theirs < asked else "ahead of"
        return failed(
            "clock", f"{skew:.1f} s {word} the driver's", "synchronise the clocks (chrony, systemd-timesyncd)", address
        )
    return passed("clock", f"within {skew + answered - asked:.2g} s of the driver's", address)


def disks(reports: Mapping[str, NodeReport], need_gib: float | None, shares_memory: bool) -> list[Finding]:
    """Free space on every node. `need_gib` is what the search will write into the folder of its runs, if that is known."""
    return [_disks(report, address, need_gib, shares_memory) for address, report in reports.items()]


def _disks(report: NodeReport, address: str, need_gib: float | None, shares_memory: bool) -> Finding:
    problems, told = [], []
    for name, found in report.disks.items():
        told.append(f"{found.free_gib:.1f} GiB free for {name} ({found.path})")
        if name == "runs" and need_gib is not None and found.free_gib < need_gib:
            problems.append(f"{told[-1]}, and a search needs about {need_gib:.1f} GiB: give another --runs-dir, or make room")
        elif name == "temporary" and found.used > MOST_USED:
            problems.append(f"{found.path} is {found.used:.0%} full, and above {MOST_USED:.0%} Ray starts nothing: make room")
        elif name == "shared memory" and shares_memory and found.free_gib < SHARED_MEMORY_GIB:
            problems.append(f"{told[-1]}, and NCCL needs {SHARED_MEMORY_GIB:g}: in a container use --shm-size=8g")
    return failed("disk", "; ".join(problems), node=address) if problems else passed("disk", ", ".join(told), address)


def disk_need_gib(weights_bytes: int, slots: int) -> float:
    """What a search writes at most at once, with `slots` trials that run."""
    return RESERVE_GIB + weights_bytes * (slots * COPIES_PER_TRIAL + COPIES_KEPT) / 2**30


def stores(reports: Mapping[str, NodeReport], endpoints: Mapping[str, tuple[str, int]]) -> list[Finding]:
    """Whether every node reaches the stores that are on the network."""
    findings = []
    for name, (host, port) in endpoints.items():
        for address, report in reports.items():
            reason = report.unreachable.get(name)
            mend = f"start it, or let this node reach port {port} of {host}"
            findings.append(
                failed(name, f"{host}:{port} cannot be reached: {reason}", mend, address)
                if reason
                else passed(name, f"{host}:{port} answers", address)
            )
    return findings


def data(found: Mapping[str, str | list[str]], expected: str | None) -> list[Finding]:
    """Whether every node reads the same data: their SHA-256, or what is wrong with them, by address."""
    findings = []
    for address, told in found.items():
        if isinstance(told, list):
            mend = "a node without the data cannot prepare them: bring the folder to the same path there"
            findings += [failed("data", "; ".join(told), mend, address)]
        elif told != expected:
            findings.append(
                failed("data", f"its data have SHA-256 {told[:12]}, the driver's {(expected or '')[:12]}", "copy them", address)
            )
        else:
            findings.append(passed("data", f"SHA-256 {told[:12]}", address))
    return findings


def folder(runs_dir: str, written: Mapping[str, bool], seen: Mapping[str, bool]) -> list[Finding]:
    """Whether the folder of the runs is one folder everywhere: which nodes could write to it and see the driver's file."""
    findings = []
    for address, could in written.items():
        if not could:
            mend = "let this user write there, or give another --runs-dir"
            findings.append(failed("storage", f"{runs_dir} cannot be written", mend, address))
        elif not seen[address]:
            mend = (
                "checkpoints and models go there from every node: mount one folder on all of them, and name it with --runs-dir"
            )
            findings.append(failed("storage", f"{runs_dir} is not the driver's folder", mend, address))
        else:
            findings.append(passed("storage", f"{runs_dir} can be written", address))
    return findings
