"""A table of what is unusual in the data, such as texts in both train and dev."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from model.data.data_warnings import TaskWarnings
from tuner.report.gather import Run
from tuner.report.html import absent, table


def section(run: Run) -> list[Element]:
    warnings = run.results["data"].get("warnings") or {}  # absent from results of earlier versions
    rows = [
        sentence.split(": ", 1)
        for task, counts in warnings.items()
        for sentence in TaskWarnings(**counts).sentences(task, run.rows[task]["dev"])
    ]
    if not rows:
        return absent("Nothing unusual is recorded of the data.")
    return [table(("task", "warning"), rows, "Warnings about the data", n_words=2)]
