"""The start: `python -m benchmarks.start`, seconds of `--help`, and from the command to the first step of the first trial.

A search is started again and again and ended at its first evaluation: without a preflight, with one that an earlier run of the
same search has left, and with one that is measured; phases are read off the run's folder. Files are in the system's cache after
the first run, which is not counted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import sides
from benchmarks.arguments import add_search_options, options_of, parser, positive, run
from tuner.config import options as search_options
from tuner.config import run_folder
from tuner.config.options import Options
from tuner.results.search_result import INTERRUPTED
from tuner.search.preflight.stage import FOLDER as PREFLIGHT
from tuner.tracking import timeline

NONE, KNOWN, MEASURED = "no preflight", "preflight known", "preflight measured"
PHASES = {
    "checked": "options, space and data checked",
    "connected": "Ray started, libraries imported",
    "began": "data tokenised, preflight, study",
    "asked": "first trial asked for",
    "first step": "its gang started",
}
"""What had been done at each mark, which began at the one before."""
SHORT = ("budget.examples=640", "budget.evaluations=5", "budget.early_eval_examples=8")
POLL_S = 0.02


def help_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tuner.search", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def start(options: Options, runs_dir: Path, kind: str) -> dict[str, float]:
    """Run a search up to its first evaluation. Returns the seconds from the command to each mark of `PHASES`."""
    name = f"start-{time.time_ns()}"
    run = runs_dir / name
    if kind == MEASURED:
        shutil.rmtree(runs_dir / PREFLIGHT, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "tuner.search",
        *sides.arguments_of(options),
        f"--max-concurrent={options.max_concurrent}",
    ]
    command += ["--finalists=0", "--no-register", "--quiet", f"--runs-dir={runs_dir}", f"--name={name}"]
    command += ["--no-preflight"] * (kind == NONE)
    marks: dict[str, float] = {}
    files = {"checked": run / search_options.FILE_NAME, "connected": run / run_folder.STATE_FILE}
    began = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    ) as process:
        while process.poll() is None:
            marks |= {mark: time.time() - began for mark, path in files.items() if mark not in marks and path.is_file()}
            if any(event["event"] == "evaluated" for event in timeline.read(run)):
                process.send_signal(signal.SIGINT)
                break
            time.sleep(POLL_S)
        _, said = process.communicate()
    if process.returncode not in (0, INTERRUPTED):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said.decode()}")
    marks |= of_timeline(timeline.read(run), began)
    shutil.rmtree(run)
    return marks


def of_timeline(events: Sequence[Mapping[str, Any]], began: float) -> dict[str, float]:
    """Seconds from the command to the marks that a timeline has."""
    marks: dict[str, float] = {}
    for event in events:
        if event["event"] in ("began", "asked"):
            marks.setdefault(event["event"], event["at"] - began)
    ran = sides.of_timeline([event for event in events if event["event"] == "evaluated"], {}, began, began)
    return marks | {"first step": ran.first_step_s}


def phases(marks: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each phase, from the marks of one run."""
    before, found = 0.0, {}
    for mark, phase in PHASES.items():
        found[phase] = marks[mark] - before
        before = marks[mark]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    text = parser("start", __doc__)
    add_search_options(text, trials=2)
    text.add_argument("--repeats", type=positive, default=3, help="starts of each kind (3)")
    text.add_argument("--kinds", nargs="+", choices=(NONE, KNOWN, MEASURED), default=[NONE, KNOWN, MEASURED], help="all three")
    arguments = text.parse_args(argv)
    help_s()
    helps = [help_s() for _ in range(5)]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in arguments.kinds}
    with TemporaryDirectory() as folder, sides.backbone_of(arguments.backbone) as backbone:
        options = replace(options_of(arguments), backbone=backbone, settings=(*SHORT, *arguments.settings))
        warm = KNOWN if KNOWN in arguments.kinds else NONE
        start(options, Path(folder), warm)
        for _ in range(arguments.repeats):
            for kind in arguments.kinds:
                found[kind].append(start(options, Path(folder), kind))
    print(f"--help {sides.median_and_range(helps, 2)} s; seconds, median and range of {arguments.repeats}")
    shown = sides.table("", *arguments.kinds)
    for phase in PHASES.values():
        shown.add_row(phase, *(sides.median_and_range([phases(one)[phase] for one in found[kind]]) for kind in found))
    totals = [sides.median_and_range([one["first step"] for one in found[kind]]) for kind in found]
    shown.add_row("from the command to the first step", *totals)
    sides.show(shown)
    if arguments.json:
        arguments.json.write_text(json.dumps({"help_s": helps, "marks": found}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
