"""A run folder of a search that is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.config import run_folder
from tuner.config.options import Options, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "night"
    path.mkdir(parents=True)
    save(Options(), path)
    run_folder.write_state(path, run_folder.State("2026-01-02T03:04:05+00:00", wall_s=75.0, n_trials=9))
    return path
