"""A stream that outlives its reader: `search | head` must not end a search of hours."""

from __future__ import annotations

import os
from typing import IO, Any


class LastingStream:
    """Passes everything on to `stream`.

    Once nobody reads it any more (a closed pipe or terminal), what is written is dropped. Characters that its encoding lacks
    are written as escapes.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError:
            self._drop()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        """Point the stream's file at nothing: what it still holds would fail again when Python ends."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
