"""Draws with Plotly: colours, trials as lines, and values with their intervals.

A figure gets its common layout from assets/template.json. Its traces hold trial numbers as `customdata`: script.js shows the
trial's settings under the pointer, and marks chosen trials in all figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from xml.etree.ElementTree import Element

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from tuner.report.html import element, plain

ACCENT, CHAMPION, QUIET = "#3b82c4", "#d9731a", "#8b949d"
COLOURS = (ACCENT, CHAMPION, "#2f9e63", "#9b62c9", "#d2556b", "#8a9440")
"""Like all colours here they stand out from light and from dark paper."""
LEVELS = ("#8793a0", "#5d9bd5", "#3aa38f", "#c79a1e", "#e2601f")
"""Of scores, from low to high."""
CLEAR = "rgba(0,0,0,0)"
MANY = 80
"""Lines above which they are drawn thinner."""

Trace = dict[str, Any]


def plot(figure: go.Figure, label: str, height: int = 320, is_wide: bool = False) -> Element:
    """A figure, which script.js draws, of `height` pixels; screen readers announce it as one image named `label`."""
    content = figure.to_plotly_json()
    content["layout"].pop("template", None)  # Plotly's own, 7 kB
    data = element("script", type="application/json")
    data.text = to_json_plotly(content)  # with < and > escaped
    return element("div", data, class_="plot wide" if is_wide else "plot", role="img", aria_label=label, data_height=height)


def shown(text: str, longest: int = 40) -> str:
    """A text that Plotly shows unchanged, without reading tags in it; long ones are cut."""
    text = plain(text)
    return escape(text if len(text) <= longest else f"{text[: longest - 1]}…", quote=False)


def lines(
    name: str, trials: Mapping[int, Sequence[tuple[float, float]]], colour: str, n_lines: int, dash: str = "solid"
) -> list[Trace]:
    """The lines of trials, by number, as one trace with gaps between them, and a mark at the end of each, to be selected.

    `n_lines` are those of the whole chart: many are drawn thin. The line named `champion` is bold.
    """
    points = [(number, x, y) for number, line in trials.items() for x, y in (*line, (None, None))]
    ends = [(number, *line[-1]) for number, line in trials.items()]
    width, opacity = (2.6, 1.0) if name == "champion" else (1.1, 0.6) if n_lines <= MANY else (0.8, 0.25)
    style = {"name": name, "legendgroup": name, "opacity": opacity}
    return [
        trials_at(points, mode="lines", line={"color": colour, "width": width, "dash": dash}, **style),
        trials_at(ends, mode="markers", marker={"color": colour, "size": 4}, showlegend=False, **style),
    ]


def trials_at(points: Sequence[tuple[int, float | None, float | None]], **style: Any) -> Trace:
    """Trials at points: number, x, y."""
    numbers, *places = zip(*points, strict=True)
    x, y = ([None if at is None else float(f"{at:.6g}") for at in along] for along in places)
    return {"type": "scatter", "x": x, "y": y, "customdata": list(numbers), **style}


def chosen() -> Trace:
    """The trace into which script.js draws the lines of the chosen trials."""
    line = {"color": CHAMPION, "width": 3}
    return {"type": "scatter", "meta": "chosen", "mode": "lines", "line": line, "showlegend": False, "hoverinfo": "skip"}


def axis(title: str, **own: Any) -> dict[str, Any]:
    return {"title": {"text": shown(title)}, **own}


Value = tuple[float | None, tuple[float, float] | None]
"""A value and its interval; None where there is none."""


def intervals(names: Sequence[str], series: Mapping[str, Sequence[Value]], x_title: str, label: str) -> Element | None:
    """A row for each of `names`, with the value that each of `series` has there. None without any value.

    The marks of the series are hollow, full and an upright line, in this order; two series lie below each other in a row.
    """
    if all(value is None for values in series.values() for value, _ in values):
        return None
    traces = []
    styles = (("circle-open", QUIET, -0.15), ("circle", ACCENT, 0.15), ("line-ns-open", CHAMPION, 0.0))
    for (name, values), (symbol, colour, offset) in zip(series.items(), styles, strict=False):
        known = [(i, value, bounds or (value, value)) for i, (value, bounds) in enumerate(values) if value is not None]
        reach: Trace = {
            "array": [bounds[1] - value for _, value, bounds in known],
            "arrayminus": [value - bounds[0] for _, value, bounds in known],
            "thickness": 1.5,
            "width": 0,
        }
        traces.append(
            {
                "name": name,
                "mode": "markers",
                "x": [value for _, value, _ in known],
                "y": [i + (offset if len(series) == 2 else 0.0) for i, _, _ in known],
                "error_x": reach,
                "marker": {"symbol": symbol, "color": colour, "size": 9, "line": {"width": 2, "color": colour}},
                "hovertemplate": f"{name}: %{{x:.4f}}<extra></extra>",
            }
        )
    rows = {"tickvals": list(range(len(names))), "ticktext": [shown(name, 24) for name in names]}
    y_axis = {**rows, "range": [len(names) - 0.4, -0.6]}
    return plot(go.Figure(traces, {"xaxis": axis(x_title), "yaxis": y_axis}), label, 120 + 26 * len(names))
