"""Checks before anything starts that the backbone of a search can be trained (`model.encoder.probe`), and keeps the verdict.

The check needs torch, which the driver does not load, so it has a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from model.config import ConfigError, TrialConfig
from model.encoder import backbone, probe
from tuner.search.cache_key import contents_of, digest, versions_of

FOLDER = ".backbones"
"""Beside the runs: an empty file for each backbone that passed."""
VERSION = 1
LIBRARIES = ("torch", "transformers", "tokenizers")
FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


def check(samples: tuple[TrialConfig, ...], runs_dir: Path, *, keep: bool) -> None:
    """Check the backbone of a search's configurations, which share it. Raises `ConfigError` if it cannot be trained.

    A backbone in a folder that passed is not run again until a file of it, a library or a setting changes; `keep` says whether
    to write that down in `runs_dir`.
    """
    first = samples[0]
    request = probe.Request(first.backbone, first.max_length, tuple(sorted({sample.pooling for sample in samples})))
    passed = _verdict(request, runs_dir)
    if passed is not None and passed.is_file():
        return
    if "torch" in sys.modules or request.backbone == backbone.EMBEDDED:  # a process of its own would load torch again
        probe.check(request)
    else:
        _check_in_process(request)
    if keep and passed is not None:
        with suppress(OSError):  # a full disk: the next search checks again
            passed.parent.mkdir(parents=True, exist_ok=True)
            passed.touch()


def _verdict(request: probe.Request, runs_dir: Path) -> Path | None:
    """The file that says that the backbone passed; None for a backbone without files here, or one that needs no run."""
    folder = Path(backbone.locate(request.backbone))
    if not folder.is_dir() or request.backbone == backbone.EMBEDDED:
        return None
    facts = {"version": VERSION, "files": contents_of(folder, *FILES), "libraries": versions_of(LIBRARIES)}
    return runs_dir / FOLDER / digest(facts | {"max_length": request.max_length, "poolings": request.poolings})


def _check_in_process(request: probe.Request) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model.encoder.probe"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"},
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ConfigError([f"backbone {request.backbone} could not be checked: its process ended ({reason})"])
    problems = json.loads(done.stdout.splitlines()[-1])
    if problems:
        raise ConfigError(problems)
