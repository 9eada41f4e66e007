"""What a search shows in a notebook: one output that is updated in place, then the summary as text."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from tuner.tracking.progress.terminal import TableProgress

WIDTH = 100
"""Columns that an output cell shows without scrolling."""
HEIGHT = 24


def is_here() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def as_text(shown: RenderableType) -> str:
    """What a file of that width would hold."""
    stream = io.StringIO()
    Console(file=stream, width=WIDTH, force_jupyter=False, color_system=None).print(shown)
    return stream.getvalue()


def make(stream: IO[str]) -> TableProgress:
    """The observer for a notebook whose cell shows what is written to `stream`."""
    from IPython.display import display

    from tuner.tracking.progress.terminal import TableProgress, live_table, totals

    class NotebookProgress(TableProgress):
        """The table as the text of one output; at the end its two lines of totals stay."""

        def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
            super().__init__(console, clock)
            self._output: Any = None

        def draw(self, now_s: float) -> None:
            self._show(as_text(live_table(self._standings, now_s, HEIGHT)))

        def search_finished(self, results: dict[str, Any]) -> None:
            self._show("\n".join(totals(self._standings, self._clock())) + "\n")
            super().search_finished(results)

        def _show(self, text: str) -> None:
            bundle = {"text/plain": text}
            if self._output is None:
                self._output = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
            else:
                self._output.update(bundle, raw=True)

    return NotebookProgress(Console(file=stream, width=WIDTH, force_jupyter=False, color_system=None))
