"""Progress displays: terminal, notebook, plain lines and JSON lines."""

from __future__ import annotations

import sys
from typing import IO, cast

from rich.console import Console

from tuner.results.text import FILE_WIDTH
from tuner.tracking.progress import notebook
from tuner.tracking.progress.json_lines import JsonProgress
from tuner.tracking.progress.stream import LastingStream
from tuner.tracking.progress.terminal import LiveProgress, NullProgress, PlainProgress, Progress


def make_progress(quiet: bool, json: bool, stream: IO[str]) -> Progress:
    """The observer that suits the options and the stream. rich respects NO_COLOR; a dumb terminal gets plain lines."""
    lasting = cast(IO[str], LastingStream(stream))
    if json:
        return JsonProgress(lasting)
    if not quiet and stream is sys.stdout and notebook.is_here():
        return notebook.make(lasting)
    console = Console(file=lasting, force_jupyter=False)  # where rich sees a notebook, it writes there and not to its file
    if not console.is_terminal:
        console = Console(file=lasting, force_jupyter=False, width=FILE_WIDTH)
    if quiet:
        return NullProgress(console)
    return LiveProgress(console) if console.is_terminal and not console.is_dumb_terminal else PlainProgress(console)
