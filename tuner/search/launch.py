"""Start a search: check the options, start Ray, run the session, write the report.

Exit status: 0 a champion exists; 1 the search failed; 2 wrong usage, nothing was written; 3 no trial or finalist meets the
requirements, and the champion is the one nearest to them; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from model.config import ConfigError
from tuner.artifacts.atomic import print_any_path
from tuner.artifacts.retry import StoreUnreachableError, unreachable_store_in
from tuner.config.options import Options, not_kept, parse_arguments
from tuner.execution.interruption import Interruption
from tuner.results.search_result import CHAMPION, FAILED, INTERRUPTED, WRONG_USAGE, SearchResult

if TYPE_CHECKING:
    from tuner.search.plan import Plan


def main(argv: list[str] | None = None) -> int:
    """Run a search with these command-line arguments, and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    print_any_path()
    try:
        result = start(parse_arguments(argv), sys.stdout)
        return CHAMPION if result is None else result.exit_status
    except (ConfigError, StoreUnreachableError, KeyboardInterrupt) as error:
        if "--debug" in argv:
            raise
        for problem in error.args:
            print(problem, file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            return INTERRUPTED
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED


def start(options: Options, out: IO[str]) -> SearchResult | None:
    """Check the options, run the search with its progress on `out`, and return its result; None after a dry run.

    Raises `ConfigError` for wrong usage, `StoreUnreachableError` and KeyboardInterrupt, all with messages for the user.
    """
    from tuner.search import plan
    from tuner.search.plan import backbone

    planned = plan.make(options)
    backbone.check(planned.samples, planned.run_dir.parent, keep=not options.dry_run)
    if options.dry_run:
        from tuner.search.plan.dry_run import describe

        print(describe(planned), file=out)
        if not planned.options.no_preflight:
            _preflight_only(planned, out)
        return None
    run(planned, out)
    return SearchResult.read(planned.run_dir)


def run(plan: Plan, out: IO[str]) -> int:
    """Run the search of a plan. Returns the exit status; raises as `start` does."""
    from cluster import connect, reach
    from tuner.config import command_lines as commands
    from tuner.config import run_folder
    from tuner.search import tokenise
    from tuner.tracking.progress import make_progress

    interruption = Interruption()
    joined = connect.is_connected()
    if not joined:
        with _ray_refusals(plan):
            reach.check(plan.options.address)
    with run_folder.opened(plan.run_dir, plan.options), interruption.listening():
        for sentence in (*not_kept(plan.options), *plan.data_sentences):
            print(sentence, file=sys.stderr)
        _relocate(plan)
        tokenisation = tokenise.tokenisation(plan.data_request, plan.summary, plan.run_dir)
        try:
            with closing(tokenisation), _forking(plan, joined) as fork:
                tokenisation.begin()
                dashboard = _connect(plan)
                fork()
                from tuner.search import session  # takes seconds: only now, with the run locked and Ctrl-C handled

                with closing(make_progress(plan.options.quiet, plan.options.json, out)) as progress:
                    status = session.run(plan, tokenisation, dashboard, interruption, progress)
        except Exception as error:
            if isinstance(error, ConfigError):  # the search cannot begin
                tokenisation.discard()
            unreachable = unreachable_store_in(error)
            if unreachable is None:
                raise
            raise StoreUnreachableError(f"{unreachable}; resume with: {commands.resume(plan.run_dir)}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; resume with: {commands.resume(plan.run_dir)}") from None
        finally:
            if not joined:
                connect.disconnect()
    _report(plan)  # outside of the lock: the report shows a run that has ended
    return status


@contextmanager
def _forking(plan: Plan, joined: bool) -> Iterator[Callable[[], None]]:
    """Start this node's fork server of the ranks; yields a function to call once Ray is connected.

    The server of a search that starts its own Ray imports while Ray starts. In a process that has already `joined` a Ray, all
    searches share a server.
    """
    from cluster import connect, fork
    from tuner.execution.rank import AHEAD

    def key() -> str | None:
        """The name by which ranks find the server; None where no rank fits this node."""
        return connect.job() if plan.shape.has_room_on(connect.nodes()[0]) else None

    def keep() -> None:
        name = key()
        if name is not None:
            fork.keep(name, AHEAD)

    if joined:
        yield keep
        return
    with fork.ahead(AHEAD) as serve:
        yield lambda: serve(key())


def _preflight_only(plan: Plan, out: IO[str]) -> None:
    """Print what a preflight finds, and leave nothing behind. Raises as a search would."""
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
            searched = (plan.workload, plan.run_dir, data, slots(), plan.n_trials)
            preflight.look_ahead(*searched, lambda: True, lambda line: print(line, file=out), keep=False)
    finally:
        if not joined:
            connect.disconnect()


def _relocate(plan: Plan) -> None:
    """Correct the artifacts' paths in MLflow when the run was moved; a database that cannot be changed never stops a search."""
    if plan.resumed:
        from tuner.tracking.mlflow.relocation import relocate

        try:
            relocate(plan.run_dir, plan.tracking_uri)
        except ConnectionError as error:
            print(error, file=sys.stderr)


def _report(plan: Plan) -> None:
    """Write the page that the summary names; an error is only printed, because the search itself has succeeded."""
    from tuner.config import command_lines as commands
    from tuner.report import page

    try:
        page.write(plan.run_dir, stores=plan.options)
    except Exception as error:
        reason = "; ".join(error.problems) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        again = commands.report(plan.run_dir)
        print(f"cannot write the report ({reason}); the results are complete; try again with: {again}", file=sys.stderr)


def _connect(plan: Plan) -> str | None:
    """Connect to Ray, and return its dashboard's address."""
    from cluster import connect

    with _ray_refusals(plan):
        return connect.connect(plan.options.address, dashboard=not plan.options.no_dashboard)


@contextmanager
def _ray_refusals(plan: Plan) -> Iterator[None]:
    """Turn the errors of joining or starting Ray into `ConfigError`."""
    from cluster import reach

    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if reach.target_of(plan.options.address) == "local":
            raise ConfigError([f"Ray cannot be started on this machine: {error}"]) from error
        place = reach.describe(plan.options.address)
        raise ConfigError(
            [f"no Ray cluster answers at {place}; start one there, or give another --address: {error}"]
        ) from error
