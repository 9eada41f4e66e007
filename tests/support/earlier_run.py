"""A run that the version before the packages of tuner/ made, with its encoder: interrupted in the third of four trials.

The archive has MLflow's database as SQL, and marks where folders are named.
"""

from __future__ import annotations

import sqlite3
import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).with_name("earlier_run.tar.xz")
NAME = "before"


def unpack(folder: Path) -> Path:
    """Unpack it into `folder`. Returns the folder of the runs."""
    runs = folder / "runs"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    runs.mkdir()
    (folder / NAME).rename(runs / NAME)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".yaml", ".sql", ".journal"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("@RUNS@", str(runs)).replace("@FOLDER@", str(folder)), encoding="utf-8")
    dump = runs / NAME / "mlflow.sql"
    database = sqlite3.connect(runs / NAME / "mlflow.db")
    with database:
        database.executescript(dump.read_text(encoding="utf-8"))
    database.close()
    dump.unlink()
    return runs
