"""Writes the page of a run: one file, readable without a network unless Plotly's script is to be loaded from its CDN.

Its content security policy allows its own scripts by their hashes, and no loading except of that one script.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from model.config import ConfigError
from tuner.artifacts.atomic import write_whole
from tuner.config.options import Options
from tuner.report import plot
from tuner.report.charts import CHARTS
from tuner.report.gather import Run, gather
from tuner.report.html import element, markup, number
from tuner.report.parameters import as_text, values_of
from tuner.results.text import REPORT, controls_text

INLINE, CDN = PLOTLY_SOURCES = ("inline", "cdn")
CDN_URL = f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
STAGES = {
    "finished": "finished",
    "searching": "UNFINISHED: the search is running; this is its record so far",
    "interrupted": "UNFINISHED: the search was interrupted; this is its record so far",
}


def write(folder: Path, to: Path | None = None, stores: Options | None = None, plotly: str = INLINE) -> Path:
    """Write the page of the run in `folder`, an absolute path, to `to` or into the folder. Returns its path.

    `stores` are options with the stores' passwords, which the run's folder does not keep. `plotly` is where the page has
    Plotly's script from: `inline`, or `cdn` for a small page that needs a network.

    Raises `ConfigError` where the run has neither results nor a study, or the file cannot be written.
    """
    target = to or folder / REPORT
    if target.is_dir():
        raise ConfigError([f"--to {target} is a folder; give a file, such as {target / REPORT}"])
    text = page(gather(folder, stores), plotly)
    try:
        write_whole(target, text)
    except OSError as error:
        raise ConfigError([f"cannot write {target}: {error.strerror}; give another place with --to"]) from None
    return target


def page(run: Run, plotly: str = INLINE) -> str:
    """The whole page as HTML."""
    names = ("style.css", "template.json", "script.js")
    style, template, script = ((files("tuner.report") / "assets" / name).read_text("utf-8") for name in names)
    sections = {key: import_module(f"tuner.report.charts.{key}").section(run) for key in CHARTS}
    shown = {key: children for key, children in sections.items() if children}
    links = [element("li", element("a", CHARTS[key], href=f"#{key}")) for key in shown]
    main = [
        element("section", element("h2", CHARTS[key], id=f"{key}-title"), children, id=key, aria_labelledby=f"{key}-title")
        for key, children in shown.items()
    ]
    plotly_js = get_plotlyjs()
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(plotly_js, script, from_cdn=plotly == CDN)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{run.results['name']} · smart-tuner"),
        _raw("style", style),
    )
    footer = f"Written {moment(run.written)} by smart-tuner from the record of {run.results['name']}."
    body = element(
        "body",
        element("a", "Skip to the report", href="#main", class_="skip"),
        header(run),
        element("nav", element("ul", links), aria_label="Sections"),
        element("noscript", element("p", "The charts need JavaScript; the numbers below each do not.", class_="warnings")),
        element("main", main, id="main"),
        element("footer", element("p", f"{footer} Charts by Plotly (MIT licence).")),
        _raw("script", template, type="application/json", id="template"),
        _raw("script", trial_texts(run), type="application/json", id="trial-texts"),
        _raw("script", "", src=CDN_URL, integrity=f"sha256-{digest(plotly_js)}", crossorigin="anonymous")
        if plotly == CDN
        else _raw("script", plotly_js),
        _raw("script", script),
    )
    return f"<!DOCTYPE html>\n{markup(element('html', head, body, lang='en'))}\n"


def _raw(tag: str, text: str, **attributes: str) -> Element:
    """A script or style, whose text is not escaped."""
    raw = element(tag, **attributes)
    raw.text = text
    return raw


def trial_texts(run: Run) -> str:
    """What the pointer shows of each trial, by number, as JSON that may stand in a script: state, score and settings."""
    texts = {}
    for trial in run.trials:
        best = ", champion" if trial["number"] == run.champion_number else ""
        first = f"<b>trial {trial['number']}</b>{best}: {trial['state'].lower()}, score {number(trial['score'])}"
        settings = [f"{plot.shown(name)}: {plot.shown(as_text(value))}" for name, value in values_of(trial).items()]
        texts[trial["number"]] = "<br>".join([first, *settings])
    return str(to_json_plotly(texts))


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def policy(plotly_js: str, script: str, from_cdn: bool) -> str:
    """A content security policy that allows these scripts alone, and no origin but Plotly's script on its CDN.

    Styles are allowed inline, since Plotly sets them on what it draws; images are those that it makes for download.
    """
    source = CDN_URL if from_cdn else f"'sha256-{digest(plotly_js)}'"
    return (
        f"default-src 'none'; script-src {source} 'sha256-{digest(script)}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
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
