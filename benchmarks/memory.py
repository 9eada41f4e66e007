"""Memory against the size of the data: `python -m benchmarks.memory`, peaks of driver and ranks, and the object store's.

The corpus is the demo's with every row repeated under another id and with a word of its own, ×1, ×10 and ×100. A search runs
over each in a process of its own, where a thread reads what the driver, its ranks and the process that tokenises hold of memory
that nobody shares (USS: what the system would get back at their end), and how much lies in the object store.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import sides
from benchmarks.arguments import parser, positive, run

KINDS = {"ray::RankWorker": "rank", "-m tuner.search.tokenise": "tokeniser", "ray::prepare_data": "loader"}
"""Processes that are told apart, by their command lines."""
DRIVER, STORE = "driver", "object store"
POLL_S = 0.1
MIB = 2**20
SETTINGS = ("max_length=32", "budget.examples=1280", "budget.evaluations=2", "budget.early_eval_examples=64")


@dataclass
class Peaks:
    """The most that was seen, bytes by kind of process; of several processes of a kind the largest."""

    most: dict[str, int] = field(default_factory=dict)

    def see(self, kind: str, n_bytes: int) -> None:
        self.most[kind] = max(self.most.get(kind, 0), n_bytes)


def write_corpus(folder: Path, base: Path, factor: int, n_rows: int) -> int:
    """The first `n_rows` of each file, `factor` times; returns the bytes written."""
    folder.mkdir()
    for path in base.iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t")
        place, texts = header.index("id"), [i for i, name in enumerate(header) if name.startswith("sentence")]
        with (folder / path.name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow(header)
            for copy in range(factor):
                for row in rows[:n_rows]:
                    changed = list(row)
                    changed[place] = f"{row[place]}-{copy}"
                    for i in texts:
                        changed[i] = f"{row[i]} {copy}"
                    writer.writerow(changed)
    return sum(path.stat().st_size for path in folder.iterdir())


def watch(peaks: Peaks, stop: threading.Event) -> None:
    """Look at this process, the driver, and all that Ray has started for it, until told to stop."""
    import psutil

    own = psutil.Process()
    while not stop.wait(POLL_S):
        peaks.see(DRIVER, own.memory_full_info().uss)
        for process in own.children(recursive=True):
            with suppress(psutil.Error):
                kind = next((kind for name, kind in KINDS.items() if name in " ".join(process.cmdline())), None)
                if kind is not None:
                    peaks.see(kind, process.memory_full_info().uss)
        with suppress(Exception):  # Ray is not there yet, or any more
            peaks.see(STORE, object_store_bytes())


def object_store_bytes() -> int:
    """What lies in this node's object store."""
    import ray
    from ray._private.internal_api import node_stats

    if not ray.is_initialized():
        return 0
    address = ray.get_runtime_context().gcs_address
    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False) if address else None
    return int(stats.store_stats.object_store_bytes_used) if stats else 0


def measured(argv: Sequence[str]) -> dict[str, int]:
    """Run a search in this process. Returns the peaks, and the driver's at the end."""
    from tuner.search import main as search

    peaks, stop = Peaks(), threading.Event()
    watcher = threading.Thread(target=watch, args=(peaks, stop), daemon=True)
    watcher.start()
    status = search(list(argv))
    stop.set()
    watcher.join()
    assert status in (0, 1, 3), status
    return peaks.most


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["--measure"]:  # what this command starts for each corpus
        Path(given[1]).write_text(json.dumps(measured(given[2:])), encoding="utf-8")
        return 0
    text = parser("memory", __doc__)
    text.add_argument("--factors", type=positive, nargs="+", default=[1, 10, 100], help="sizes of the corpus (1 10 100)")
    text.add_argument("--rows", type=positive, default=300, help="rows of each file of the smallest corpus (300)")
    text.add_argument("--tasks", default="sst,quora,sts", help="tasks searched (sst,quora,sts)")
    text.add_argument("--backbone", default=sides.TINY, help="as of a search (a tiny one)")
    arguments = text.parse_args(given)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as name, sides.backbone_of(arguments.backbone) as backbone:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "model.data.demo", "--out", folder / "base"], stdout=subprocess.DEVNULL, check=True
        )
        for factor in arguments.factors:
            corpus = folder / f"times{factor}"
            n_bytes = write_corpus(corpus, folder / "base", factor, arguments.rows)
            command = [
                f"--data={corpus}",
                f"--tasks={arguments.tasks}",
                f"--backbone={backbone}",
                *(f"--set={text}" for text in SETTINGS),
            ]
            command += ["--trials=2", "--max-concurrent=2", "--finalists=0", "--no-register", "--no-preflight", "--quiet"]
            command += [f"--runs-dir={folder / 'runs'}", f"--name=times{factor}"]
            began, out = time.perf_counter(), folder / f"times{factor}.json"
            quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
            subprocess.run(
                [sys.executable, "-m", "benchmarks.memory", "--measure", out, *command],
                env=quiet,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            rows.append(
                {
                    "factor": factor,
                    "bytes": n_bytes,
                    "seconds": time.perf_counter() - began,
                    "peaks": json.loads(out.read_text()),
                }
            )
    print("peaks in MiB that nobody shares; the object store's once per node")
    kinds = (DRIVER, *KINDS.values(), STORE)
    shown = sides.table("corpus", "on disk", *kinds, "seconds")
    for row in rows:
        cells = (f"{row['peaks'].get(kind, 0) / MIB:.1f}" for kind in kinds)
        shown.add_row(f"×{row['factor']}", f"{row['bytes'] / MIB:.1f}", *cells, f"{row['seconds']:.0f}")
    sides.show(shown)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
