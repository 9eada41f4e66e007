"""Progress displays: terminal, notebook, plain lines and JSON lines."""

from __future__ import annotations

import os
import sys
from typing import IO, Any, cast

from rich.console import Console

from tuner.results.text import FILE_WIDTH
from tuner.tracking.events import Observer
from tuner.tracking.progress.json_lines import JsonProgress
from tuner.tracking.progress.terminal import LiveProgress, NotebookProgress, NullProgress, PlainProgress


def make_progress(quiet: bool, json: bool, stream: IO[str]) -> Observer:
    """The display for these options and this stream. rich respects NO_COLOR; a dumb terminal gets plain lines."""
    robust = cast(IO[str], RobustStream(stream))
    if json:
        return JsonProgress(robust)
    if not quiet and stream is sys.stdout and is_notebook():
        return NotebookProgress(robust)
    console = Console(file=robust, force_jupyter=False)  # else rich would write to the notebook instead of the stream
    if not console.is_terminal:
        console = Console(file=robust, force_jupyter=False, width=FILE_WIDTH)
    if quiet:
        return NullProgress(console)
    return LiveProgress(console) if console.is_terminal and not console.is_dumb_terminal else PlainProgress(console)


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class RobustStream:
    """A text stream whose writes never fail, so that `search | head` does not end a search of hours.

    Output is dropped once the pipe or terminal is closed. Characters that the encoding lacks are written as escapes.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError:
            self._redirect_to_null()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._redirect_to_null()

    def _redirect_to_null(self) -> None:
        """Redirect the file descriptor to /dev/null, since flushing the buffer would fail again at exit."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
