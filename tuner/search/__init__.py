"""A search: `python -m tuner.search --space smart_mtl`, or `from tuner import search; search(space="smart_mtl")` in Python.

`launch` checks everything (`plan`), starts Ray and runs a `session`: tokenise, preflight, controls, trials, confirmation,
hand_over. The keywords of `search` are the fields of `tuner.config.options.Options`; they take Python's own types: paths, a
list for what may be given several times, a mapping for `settings`. Importing this package loads no library that takes seconds.
"""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any, Literal, overload

from tuner.config.keywords import options_of, signature
from tuner.results.search_result import CHAMPION, FAILED, INTERRUPTED, SHORT, WRONG_USAGE, SearchResult
from tuner.search.launch import main, run, start

__all__ = ["CHAMPION", "FAILED", "INTERRUPTED", "SHORT", "WRONG_USAGE", "main", "run", "search", "start"]


@overload
def search(*, dry_run: Literal[True], **keywords: Any) -> None: ...
@overload
def search(**keywords: Any) -> SearchResult: ...
def search(**keywords: Any) -> SearchResult | None:
    """Run a search as `python -m tuner.search` does, and return its result.

    It prints what the command prints; `quiet=True` prints nothing, `dry_run=True` prints the plan and starts nothing. The
    first Ctrl-C stops it cleanly, and the result's `exit_status` is 130. A Ray that already runs in this process is used and
    stays up.

    Raises `ConfigError` with every problem before anything starts, `StoreUnreachableError` when a database or disk stays
    unreachable, and KeyboardInterrupt when it is interrupted before there is a result.
    """
    options = options_of(keywords)
    return start(options, io.StringIO() if options.quiet else sys.stdout)


class _CallableModule(ModuleType):
    """Makes `from tuner import search` callable: this package has the name that a function would need."""

    def __call__(self, **keywords: Any) -> SearchResult | None:
        result: SearchResult | None = search(**keywords)
        return result

    __call__.__doc__ = search.__doc__


__signature__ = signature()
sys.modules[__name__].__class__ = _CallableModule
