"""The page of a run: one file, readable without a network, and without scripts but for sorting and choosing.

Its policy lets nothing be loaded, and runs no script and takes no style but its own, which it names by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

from model.config import ConfigError
from tuner.artifacts.atomic import write_whole
from tuner.config.options import Options
from tuner.report.charts import (
    champion,
    confirmation,
    cost,
    curves,
    header,
    health,
    importance,
    parallel,
    pareto,
    simplex,
    surface,
    timeline,
    transfer,
    trials,
)
from tuner.report.charts.cost import cost as cost_of
from tuner.report.charts.timeline import Schedule, schedule
from tuner.report.drawing.elements import element, markup
from tuner.report.gather import Run, gather
from tuner.results.text import REPORT


def write(folder: Path, to: Path | None = None, stores: Options | None = None) -> Path:
    """Write the page of the run in `folder`, an absolute path, to `to` or into the folder. Returns where it is.

    `stores` are the options of a search that knows its stores' passwords, which the run's folder does not keep.

    Raises `ConfigError` where the run has nothing to tell of, or the file cannot be written.
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
    found = schedule(run.events, run.now)
    style, script = _asset("style.css"), _asset("script.js")
    parts = [(key, title, draw(run, found)) for key, title, draw in SECTIONS]
    shown = [(key, title, children) for key, title, children in parts if children]
    links = [element("li", element("a", title, href=f"#{key}")) for key, title, _ in shown]
    main = [
        element("section", element("h2", title, id=f"{key}-title"), children, id=key, aria_labelledby=f"{key}-title")
        for key, title, children in shown
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
    body = element(
        "body",
        element("a", "Skip to the report", href="#main", class_="skip"),
        header.header(run),
        element("nav", element("ul", links), aria_label="Sections"),
        element("main", main, id="main"),
        header.footer(run),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{markup(element('html', head, body, lang='en'))}\n"


Section = Callable[[Run, Schedule | None], Sequence[Element]]


def _of_run(draw: Callable[[Run], Sequence[Element]]) -> Section:
    return lambda run, _: draw(run)


SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("champion", "Champion", _of_run(champion.section)),
    ("confirmation", "Confirmation", _of_run(confirmation.section)),
    ("curves", "Learning curves", _of_run(curves.section)),
    ("importance", "Importance of parameters", _of_run(importance.section)),
    ("parallel", "Parallel coordinates", _of_run(parallel.section)),
    ("contour", "Score over two parameters", _of_run(surface.section)),
    ("fronts", "Pareto fronts", _of_run(pareto.section)),
    ("simplex", "Mixture simplex", _of_run(simplex.section)),
    ("transfer", "Transfer between tasks", _of_run(transfer.section)),
    ("health", "SMART’s health", _of_run(health.section)),
    ("timeline", "Timeline", timeline.section),
    ("cost", "Cost", lambda run, found: cost.section(run, cost_of(run, found))),
    ("trials", "All trials", _of_run(trials.section)),
    ("reproduce", "Reproduce", _of_run(header.reproduce)),
)


def policy(style: str, script: str) -> str:
    """A content security policy without any origin: the style and the script of these texts, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files("tuner.report") / "assets" / name).read_text(encoding="utf-8")
