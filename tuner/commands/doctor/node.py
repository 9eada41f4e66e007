"""The doctor's process on each node, and its report."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.results import environment

if TYPE_CHECKING:
    from model.data.source import DataSource

CODE = ("cluster", "model", "search_spaces", "tuner")
"""Folders of the project whose files must be the same everywhere."""
CONNECT_S = 5.0
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Disk:
    """A file system."""

    path: str
    free_gib: float
    used: float
    """Share of the space for users, 0 to 1."""


@dataclass(frozen=True)
class NodeReport:
    """The facts about a node that are quick to gather."""

    versions: Mapping[str, str | None]
    code: str
    """Hash over the project's files."""
    gpus: tuple[dict[str, Any], ...]
    """From nvidia-smi."""
    cuda: str | None
    """Why torch cannot use them; None when it can, or without GPUs."""
    disks: Mapping[str, Disk]
    """`runs`, `temporary` and, on Linux, `shared memory`."""
    unreachable: Mapping[str, str]
    """Stores that cannot be connected to, and why."""


class NodeProbe:
    """An actor with the checks of one node; the driver abandons calls that take too long."""

    def clock(self) -> float:
        """This node's time, seconds since 1970."""
        return time.time()

    def report(self, runs_dir: str, temporary: str, endpoints: Mapping[str, tuple[str, int]]) -> NodeReport:
        """Gather the report. `endpoints` are hosts and ports of stores, by name."""
        gpus = tuple(environment.gpus())
        disks = {"runs": disk(Path(runs_dir)), "temporary": disk(Path(temporary))}
        if SHARED_MEMORY.is_dir():
            disks["shared memory"] = disk(SHARED_MEMORY)
        reasons = {name: unreachable(*endpoint) for name, endpoint in endpoints.items()}
        return NodeReport(
            versions=environment.versions(),
            code=code_digest(environment.PROJECT),
            gpus=gpus,
            cuda=cuda_problem() if gpus else None,
            disks=disks,
            unreachable={name: reason for name, reason in reasons.items() if reason},
        )

    def shares(self, folder: str, driver_file: str) -> tuple[bool, bool]:
        """Whether this node can write to `folder`, and whether it sees the driver's file there."""
        try:
            with tempfile.TemporaryFile(dir=folder):
                return True, driver_file in os.listdir(folder)  # noqa: PTH208  # refreshes the cache of network file systems
        except OSError:
            return False, False

    def data(self, source: DataSource, tasks: tuple[str, ...], skip_bad_rows: bool, arms: tuple[str, ...]) -> str | list[str]:
        """SHA-256 of the data as this node reads them, or their problems."""
        from model.data.source import inspect

        try:
            return inspect(source, tasks, skip_bad_rows=skip_bad_rows, arms=arms).sha256
        except ConfigError as error:
            return list(error.problems)


def disk(path: Path) -> Disk:
    """The file system of `path`, which need not exist."""
    usage = shutil.disk_usage(existing(path))
    return Disk(str(path), usage.free / 2**30, usage.used / max(usage.used + usage.free, 1))


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def unreachable(host: str, port: int) -> str | None:
    """Why a port does not accept connections; None when it does."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None


def code_digest(project: Path) -> str:
    """SHA-256 over names and contents of the project's files."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((project / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(f"{path.relative_to(project).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def cuda_problem() -> str | None:
    """Why torch cannot use some GPU of this node; None when it can use all."""
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} was built for CUDA {torch.version.cuda} and sees no GPU"
    for index in range(torch.cuda.device_count()):
        try:
            float(torch.ones(8, device=f"cuda:{index}").sum())
        except RuntimeError as error:
            return f"GPU {index}: {str(error).splitlines()[0]}"
    return None
