"""Describes the environment of a search: versions, hardware and git, without importing the libraries it lists."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tuner.artifacts.addresses import mask_credentials

PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "deepspeed", "ray", "optuna", "mlflow", "datasets", "numpy", "scipy",
    "scikit-learn", "pydantic",
)  # fmt: skip
PROJECT = Path(__file__).resolve().parents[2]


def describe(argv: list[str] | None = None, project: Path = PROJECT) -> dict[str, Any]:
    """`versions`, `hardware`, `git` and `command` as plain JSON values. `argv` defaults to `sys.argv`."""
    return {"versions": versions(), "hardware": hardware(), "git": git(project), "command": command(argv or sys.argv)}


def versions() -> dict[str, str | None]:
    """Version of Python and of each main package; None for one that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def hardware() -> dict[str, Any]:
    """The driver's machine. `cpus` counts those that this process may use; `memory_gib` is the machine's."""
    cpuinfo = Path("/proc/cpuinfo")
    return {
        "platform": platform.platform(),
        "cpu": cpu_model(cpuinfo.read_text("utf-8", "replace") if cpuinfo.exists() else "")
        or platform.processor()
        or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": gpus(),
    }


def cpu_model(cpuinfo: str) -> str | None:
    """The first `model name` in the text of /proc/cpuinfo; None where it has none (ARM)."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == "model name"), None)


def gpus() -> list[dict[str, Any]]:
    """The GPUs that nvidia-smi lists; empty without a GPU or driver."""
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
    return parse_gpus(_output("nvidia-smi", *query) or "")


def parse_gpus(csv: str) -> list[dict[str, Any]]:
    """The lines `name, MiB, driver` of nvidia-smi as records; `memory_mib` is None where a card does not report it."""
    rows = [[cell.strip() for cell in line.split(",")] for line in csv.splitlines() if line.count(",") == 2]
    return [
        {"name": name, "memory_mib": int(memory) if memory.isdigit() else None, "driver": driver}
        for name, memory, driver in rows
    ]


def git(folder: Path) -> dict[str, Any] | None:
    """`commit` and `dirty` (changed or untracked files) of the checkout around `folder`; None outside git."""
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(_output("git", "-C", str(folder), "status", "--porcelain"))}


def command(argv: list[str]) -> str:
    """The command line quoted for a shell, with credentials masked."""
    return shlex.join(mask_credentials(argument) for argument in argv)


def _output(program: str, *arguments: str) -> str | None:
    """Standard output of a program; None where it is missing, fails, or takes longer than 10 s."""
    try:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
