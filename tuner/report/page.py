"""Writes the page of a run: one file, readable without a network; its script only sorts, highlights and selects.

Its content security policy allows no loading, and only its own style and script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

from model.config import ConfigError
from tuner.artifacts.atomic import write_whole
from tuner.config.options import Options
from tuner.report.charts import CHARTS
from tuner.report.gather import Run, gather
from tuner.report.html import element, markup
from tuner.results.text import REPORT, controls_text

STAGES = {
    "finished": "finished",
    "searching": "UNFINISHED: the search is running; this is its record so far",
    "interrupted": "UNFINISHED: the search was interrupted; this is its record so far",
}


def write(folder: Path, to: Path | None = None, stores: Options | None = None) -> Path:
    """Write the page of the run in `folder`, an absolute path, to `to` or into the folder. Returns its path.

    `stores` are options with the stores' passwords, which the run's folder does not keep.

    Raises `ConfigError` where the run has neither results nor a study, or the file cannot be written.
    """
    target = to or folder / REPORT
    if target.is_dir():
        raise ConfigError([f"--to {target} is a folder; give a file, such as {target / REPORT}"])
    text = page(gather(folder, stores))
    try:
        write_whole(target, text)
    except OSError as error:
        raise ConfigError([f"cannot write {target}: {error.strerror}; give another place with --to"]) from None
    return target


def page(run: Run) -> str:
    """The whole page as HTML."""
    style, script = ((files("tuner.report") / "assets" / name).read_text("utf-8") for name in ("style.css", "script.js"))
    sections = {key: import_module(f"tuner.report.charts.{key}").section(run) for key in CHARTS}
    shown = {key: children for key, children in sections.items() if children}
    links = [element("li", element("a", CHARTS[key], href=f"#{key}")) for key in shown]
    main = [
        element("section", element("h2", CHARTS[key], id=f"{key}-title"), children, id=key, aria_labelledby=f"{key}-title")
        for key, children in shown.items()
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{run.results['name']} · smart-tuner"),
        element("style", style),
    )
    footer = f"Written {moment(run.written)} by smart-tuner from the record of {run.results['name']}."
    body = element(
        "body",
        element("a", "Skip to the report", href="#main", class_="skip"),
        header(run),
        element("nav", element("ul", links), aria_label="Sections"),
        element("main", main, id="main"),
        element("footer", element("p", f"{footer} Nothing is loaded from elsewhere.")),
        element("script", script),
    )
    for mark in body.iter():
        if mark.get("data-trial") == str(run.champion_number):
            mark.set("class", f"{mark.get('class', '')} champion".lstrip())
    return f"<!DOCTYPE html>\n{markup(element('html', head, body, lang='en'))}\n"


def policy(style: str, script: str) -> str:
    """A content security policy that allows only this style and this script, and no origin."""
    style_hash, script_hash = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def header(run: Run) -> Element:
    """The run's name, its stage, and its main facts."""
    results = run.results
    rows = [
        f"{task} {splits.get('train', '?')}/{splits.get('select', '?')}/{splits.get('dev', '?')}"
        for task, splits in run.rows.items()
    ]
    facts = [
        ("trials", _counts(run)),
        ("score", results["metric"]),
        ("data", results["data"]["source"]),
        ("rows", f"{'; '.join(rows)} (train/select/dev)" if rows else "unknown"),
        ("space", str(results["space"])),
        ("began", moment(results["started"]) or "unknown"),
        ("ended", moment(results["finished"]) or "not yet"),
    ]
    if results.get("requirements"):
        facts.insert(2, ("required", ", ".join(results["requirements"]) + controls_text(results.get("controls") or {})))
    return element(
        "header",
        element("h1", results["name"]),
        element("p", STAGES[run.stage], class_="stage" if run.stage == "finished" else "stage unfinished", role="status"),
        element("dl", [element("div", element("dt", name), element("dd", text)) for name, text in facts], class_="facts"),
    )


def _counts(run: Run) -> str:
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished", "PAUSED": "paused"}
    if run.stage == "searching":
        words["RUNNING"] = "running"
    counts = {word: sum(trial["state"] == state for trial in run.counted) for state, word in words.items()}
    counts["repeated"] = len(run.trials) - len(run.counted)
    parts = [f"{n} {word}" for word, n in counts.items() if n]
    planned = next((event.get("n_trials") for event in reversed(run.events) if event["event"] == "began"), None)
    within = f", within the compute of {planned} full trials" if planned else ""
    return f"{len(run.counted)} ({', '.join(parts)}){within}" if parts else f"none yet{within}"


def moment(time: str | None) -> str:
    """`2026-01-02 03:04 UTC` for an ISO 8601 time; any other text unchanged."""
    try:
        return f"{datetime.fromisoformat(time or '').astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return time or ""
