"""Draws the README's pictures into docs/pictures/: `python -m docs.pictures`, from the root of a checkout.

Both show a generated search, so nothing of this machine is in them. The report needs chromium and chromedriver.
"""

from __future__ import annotations

import io
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from model.training.evaluation import Evaluation
from tests.support import report_runs, samples
from tests.support.browser import browser, open_page, screenshot
from tests.support.finalists import come_to, tried
from tests.support.report_shapes import made
from tuner.report.page import page
from tuner.results.trial_record import TrialRecord
from tuner.tracking.progress.state import ProgressState
from tuner.tracking.progress.terminal import header, live_table

FOLDER = Path(__file__).resolve().parent / "pictures"
NAME = "first"
N_TRIALS, N_SHOWN = 12, 15
"""Full trials of the search, and trials that the terminal has seen."""
COLUMNS, LINES = 110, 16
"""Size of the live table."""
WIDTH, HEIGHT = 1000, 1560
"""Pixels of the report's part that is shown."""
MAX_BYTES = 300 * 1024
"""Of both pictures together."""


def terminal() -> str:
    """The header and the live table of a search with two running trials, as SVG."""
    records = report_runs.records(N_SHOWN, seed=3, states=("COMPLETE", "PRUNED"))
    facts = samples.facts(
        Path("runs", NAME),
        data_source="data",
        data_summary="sst 7240 train, 804 select, 1101 dev; quora 14591 train, 1621 select, 2000 dev",
        metric="mean(sst/accuracy, quora/accuracy, sts/pearson)",
        n_trials=N_TRIALS,
        n_evaluations=report_runs.N_EVALUATIONS,
    )
    standings = ProgressState()
    standings.start(facts, at_s=0.0)
    for record in records[:-2]:
        _run(standings, record, report_runs.N_EVALUATIONS)
        standings.trial_finished(record)
    for record, n_evaluations in zip(records[-2:], (6, 3), strict=True):
        _run(standings, record, n_evaluations)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ python -m tuner.search --name {NAME} --data data --profile laptop --trials {N_TRIALS}", "bold"))
    for line in header(facts):
        console.print(Text(line, no_wrap=True, overflow="ellipsis"))
    console.print(live_table(standings, 950.0, LINES))
    drawn = console.export_svg(title="smart-tuner", unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # fonts of another server


def _run(standings: ProgressState, record: TrialRecord, n_evaluations: int) -> None:
    """Show a trial as running after so many evaluations, or after all that it has."""
    names = ("index", "n_evaluations", "step", "n_steps", "examples", "metrics", "losses", "seconds")
    standings.trial_started(record.number)
    for found in record.evaluations[:n_evaluations]:
        standings.evaluated(record.number, Evaluation(**{name: found[name] for name in names}), found["score"])


def report(path: Path) -> None:
    """Write the top of a report as PNG."""
    run = made("confirmed")
    confirmed = come_to(
        tried("3", [0.748, 0.753, 0.757], search=0.7645, right=0.76),
        tried("8", [0.744, 0.749, 0.741], search=0.7617, right=0.74),
        tried("default", [0.729, 0.733, 0.724], right=0.66),
    )
    champion = {**run.results["champion"], "confirmed": (confirmed.champion or {})["confirmed"]}
    own: dict[str, Any] = {"name": NAME, "folder": f"runs/{NAME}", "champion": champion}
    own["confirmation"] = confirmed.confirmation | {"seeds": [11, 12, 13], "notes": []}
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        html = Path(folder, "report.html")
        html.write_text(page(replace(run, results={**run.results, **own})), encoding="utf-8")
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        open_page(driver, html, WIDTH, HEIGHT)
        driver.execute_script("figures.slice(0, 12).forEach(draw)")  # those in the picture
        screenshot(driver, path, whole=False)


def main() -> None:
    """Draw both. Raises ValueError where they are too large for the README."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "terminal.svg").write_text(terminal(), encoding="utf-8")
    report(FOLDER / "report.png")
    n_bytes = sum(path.stat().st_size for path in FOLDER.iterdir())
    if n_bytes > MAX_BYTES:
        raise ValueError(f"the pictures take {n_bytes} bytes; {MAX_BYTES} are allowed")


if __name__ == "__main__":
    main()
