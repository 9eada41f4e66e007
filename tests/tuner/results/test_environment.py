"""The described environment, against the machine's own data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from tuner.results import environment


def test_versions_are_those_installed() -> None:
    found = environment.versions()
    assert found["numpy"] == numpy.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_package_that_is_missing_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    assert environment.versions()["no-such-package"] is None


def test_description_is_json_and_imports_nothing_heavy() -> None:
    program = "import sys, json; from tuner.results import environment; json.dumps(environment.describe())\n"
    program += "assert not {'torch', 'mlflow', 'ray', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    found = json.loads(json.dumps(environment.describe()))
    assert set(found) == {"versions", "hardware", "git", "command"}
    assert 1 <= found["hardware"]["cpus"] <= (os.cpu_count() or 1)
    assert found["hardware"]["memory_gib"] > 0


def test_cpu_model_is_read_from_cpuinfo() -> None:
    assert environment.cpu_model("processor\t: 0\nmodel name\t: Zen: the 5th\nmodel name\t: other\n") == "Zen: the 5th"
    assert environment.cpu_model("processor: 0\nBogoMIPS: 50\n") is None


def test_gpus_are_read_from_nvidia_smi() -> None:
    listed = environment.parse_gpus("NVIDIA H200, 143771, 570.1\nNVIDIA GB10, [N/A], 580.2\n")
    assert listed == [
        {"name": "NVIDIA H200", "memory_mib": 143771, "driver": "570.1"},
        {"name": "NVIDIA GB10", "memory_mib": None, "driver": "580.2"},
    ]
    assert environment.parse_gpus("") == []


def test_no_gpu_without_a_driver_or_where_none_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not environment.has_gpu()
    monkeypatch.setattr(environment, "DRIVER", "libno-driver.so.1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert not environment.has_gpu()


@pytest.mark.slow
def test_torch_decides_where_a_driver_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another library stands for the driver's."""
    monkeypatch.setattr(environment, "DRIVER", "libm.so.6")
    assert environment.has_gpu() == torch.cuda.is_available()


@pytest.mark.gpu
def test_a_gpu_that_torch_can_use_is_found() -> None:
    assert environment.has_gpu()


def test_git_has_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *named, *arguments], check=True, capture_output=True, text=True
        ).stdout

    assert environment.git(tmp_path) is None
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    commit = git("rev-parse", "HEAD").strip()
    assert environment.git(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "b").write_text("2")
    assert environment.git(tmp_path) == {"commit": commit, "dirty": True}


def test_command_can_be_pasted_and_holds_no_password() -> None:
    argv = ["tuner/search/launch.py", "--data", "my data", "--storage", "mysql://ann:secret@db/x"]
    assert environment.command(argv) == "tuner/search/launch.py --data 'my data' --storage 'mysql://ann:***@db/x'"
