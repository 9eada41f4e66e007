"""The progress display of a notebook: one output that is updated in place, then the summary as text."""

from __future__ import annotations

import io
import sys
from typing import IO, Any

from rich.console import Console

from tuner.tracking.progress.terminal import TableProgress, live_table, totals

WIDTH = 100
"""Columns that an output cell shows without scrolling."""
HEIGHT = 24


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class NotebookProgress(TableProgress):
    """Shows the table as text in one output; the final output is its two lines of totals."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(_console(stream))
        self._output: Any = None

    def draw(self, now_s: float) -> None:
        stream = io.StringIO()
        _console(stream).print(live_table(self._state, now_s, HEIGHT))
        self._show(stream.getvalue())

    def search_finished(self, results: dict[str, Any]) -> None:
        self._show("\n".join(totals(self._state, self._clock())) + "\n")
        super().search_finished(results)

    def _show(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._output is None:
            self._output = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._output.update(bundle, raw=True)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, width=WIDTH, force_jupyter=False, color_system=None)
