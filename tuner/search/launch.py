"""Start a search: check the options, start Ray, run the session, write the report.

Exit status: 0 a champion exists; 1 the search failed; 2 wrong usage, nothing written; 3 the champion is only the trial, or
finalist, nearest to the requirements, because none meets them; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from model.config import ConfigError
from tuner.artifacts.retry import StoreAwayError, away_in
from tuner.config.options import Options, not_kept, parse_arguments
from tuner.execution.interruption import Interruption
from tuner.results.search_result import CHAMPION, FAILED, INTERRUPTED, WRONG_USAGE, SearchResult

if TYPE_CHECKING:
    from tuner.search.plan import Plan
    from tuner.search.tokenise import Tokenisation


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        result = start(parse_arguments(argv), sys.stdout)
        return CHAMPION if result is None else result.exit_status
    except (ConfigError, StoreAwayError, KeyboardInterrupt) as error:
        if "--debug" in argv:
            raise
        for problem in error.args:
            print(problem, file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            return INTERRUPTED
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED


def start(options: Options, out: IO[str]) -> SearchResult | None:
    """Check the options and run their search, which shows itself on `out`. Returns None where there was a dry run.

    Raises `ConfigError` for wrong usage, `StoreAwayError` and KeyboardInterrupt, all with sentences for the user.
    """
    from tuner.search import plan

    planned = plan.make(options)
    if options.dry_run:
        from tuner.search.plan.dry_run import describe

        print(describe(planned), file=out)
        if not planned.options.no_preflight:
            _rehearse(planned, out)
        return None
    run(planned, out)
    return SearchResult.read(planned.run_dir)


def run(plan: Plan, out: IO[str]) -> int:
    """Run a checked search from beginning to end. Returns the exit status; raises as `start` does."""
    from cluster import connect
    from tuner.config import command_lines as commands
    from tuner.config import run_folder
    from tuner.search import tokenise
    from tuner.tracking.progress import make_progress

    interruption = Interruption()
    joined = connect.is_connected()
    with run_folder.opened(plan.run_dir, plan.options), interruption.listening():
        for sentence in not_kept(plan.options):
            print(sentence, file=sys.stderr)
        try:
            with (
                closing(tokenise.tokenisation(plan.data_request, plan.summary, plan.run_dir)) as tokenisation,
                _leaving_nothing(tokenisation),
                _forking(plan, joined) as fork,
            ):
                tokenisation.begin()
                dashboard = _connect(plan)
                fork()
                from tuner.search import session  # takes seconds: the run is held, and Ctrl-C is heard

                with closing(make_progress(plan.options.quiet, plan.options.json, out)) as progress:
                    status = session.run(plan, tokenisation, dashboard, interruption, progress)
        except Exception as error:
            away = away_in(error)
            if away is None:
                raise
            raise StoreAwayError(f"{away}; go on with: {commands.resume(plan.run_dir)}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; go on with: {commands.resume(plan.run_dir)}") from None
        finally:
            if not joined:
                connect.disconnect()
    _report(plan)  # of a run that nobody holds any more
    return status


@contextmanager
def _leaving_nothing(tokenisation: Tokenisation) -> Iterator[None]:
    """Where the search cannot even begin."""
    try:
        yield
    except ConfigError:
        tokenisation.discard()
        raise


@contextmanager
def _forking(plan: Plan, joined: bool) -> Iterator[Callable[[], None]]:
    """Start the fork server of the ranks on this node; call what is yielded once Ray is connected.

    A search that starts its own Ray has a fork server of its own, which imports while Ray starts. In a process that has joined
    a Ray already (`joined`), one fork server serves all searches.
    """
    from cluster import fork
    from tuner.execution.rank import AHEAD

    def keep() -> None:
        key = _key_of_ranks(plan)
        if key is not None:
            fork.keep(key, AHEAD)

    if joined:
        yield keep
        return
    with fork.ahead(AHEAD) as serve:
        yield lambda: serve(_key_of_ranks(plan))


def _rehearse(plan: Plan, out: IO[str]) -> None:
    """Show what a preflight finds, and leave nothing behind. Raises as a search would."""
    from cluster import connect
    from tuner.search import session, tokenise
    from tuner.search.preflight import stage as preflight

    joined = connect.is_connected()
    try:
        with _forking(plan, joined) as fork:
            _connect(plan)
            fork()
            slots = session.slots_of(plan)
            data = tokenise.put_into_object_store(plan.data_request)
            at_once = max(1, min(slots(), plan.n_trials))
            measured = preflight.measure(plan.workload, plan.run_dir, data, lambda: True, at_once=at_once, keep=False)
        foreseen = preflight.foresee(plan.workload, plan.run_dir, measured, at_once, plan.n_trials)
        print(*preflight.lines_of(plan.workload, measured, foreseen), sep="\n", file=out)
    finally:
        if not joined:
            connect.disconnect()


def _report(plan: Plan) -> None:
    """Write the page that the summary named. The search is over and handed over: whatever goes wrong here is told alone."""
    from tuner.config import command_lines as commands
    from tuner.report import page

    try:
        page.write(plan.run_dir, stores=plan.options)
    except Exception as error:
        reason = "; ".join(error.problems) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        again = commands.report(plan.run_dir)
        print(f"the report could not be written ({reason}); the results stand; try again with: {again}", file=sys.stderr)


def _connect(plan: Plan) -> str | None:
    from cluster import connect

    try:
        return connect.connect(plan.options.address, dashboard=not plan.options.no_dashboard)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(
            [f"no Ray cluster answers at {plan.options.address}; start one there, or give another --address: {error}"]
        ) from None


def _key_of_ranks(plan: Plan) -> str | None:
    """By which ranks on this node find what they are forked from; None where no rank fits this node."""
    from cluster import connect

    return connect.job() if plan.shape.has_room_on(connect.nodes()[0]) else None
