"""Search for the best configuration: `python -m tuner.search --space smart_mtl`.

The one command line of a search. Everything is checked first (`plan`), then Ray is started, the data are tokenised once, and
Tune runs the study's trials (`ray_tune`) while MLflow (`tracking`) and the terminal (`progress`) listen.

Exit status: 0 a champion exists; 1 the search failed; 2 wrong usage, nothing written; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.options import parse_arguments, save

if TYPE_CHECKING:
    from tuner.observer import Observer, SearchFacts
    from tuner.plan import Plan
    from tuner.ray_tune import Bridge
    from tuner.study import Study
    from tuner.tracking import MlflowTracking

CHAMPION, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
MLFLOW_FILE = "mlflow.json"
"""Keeps the id of the parent run, so that a resumed search goes on with it."""


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        options = parse_arguments(argv)
        from tuner import plan

        planned = plan.make(options)
        if options.dry_run:
            from tuner.dry_run import describe

            print(describe(planned))  # noqa: T201
            return CHAMPION
        return run(planned)
    except ConfigError as error:
        if "--debug" in argv:
            raise
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201
        return WRONG_USAGE


def run(plan: Plan) -> int:
    """Run a checked search from beginning to end. Returns the exit status."""
    from cluster import connect
    from tuner.progress import make_progress
    from tuner.study import Study

    options = plan.options
    with _run_folder(plan):
        study = Study.open(
            plan.storage,
            plan.name,
            plan.space,
            plan.objective,
            plan.sampler,
            plan.pruner,
            options.seed,
            plan.n_trials,
            plan.n_evaluations,
        )
        study.settle()
        progress = make_progress(options.quiet, options.json, sys.stdout)
        try:
            dashboard = connect.connect(options.address)
        except ConnectionError as error:
            raise ConfigError([f"no Ray cluster answers at {options.address}: {error}"]) from None
        try:
            return _run_connected(plan, study, progress, dashboard)
        finally:
            connect.disconnect()


@contextmanager
def _run_folder(plan: Plan) -> Iterator[None]:
    """The run's folder with its options in it; a new one goes again when the search cannot even begin."""
    plan.run_dir.mkdir(parents=True, exist_ok=True)
    if not plan.resumed:
        save(plan.options, plan.run_dir)
    try:
        yield
    except ConfigError:
        if not plan.resumed:
            shutil.rmtree(plan.run_dir)
        raise


def _run_connected(plan: Plan, study: Study, progress: Observer, dashboard: str | None) -> int:
    from tuner import ray_tune
    from tuner.tracking import MlflowTracking

    started = _now()
    data = _prepare(plan)
    facts = _facts(plan, study, dashboard)
    tracking = MlflowTracking(
        plan.tracking_uri, plan.run_dir, plan.space.name, _earlier_run(plan.run_dir), n_workers=plan.shape.n_workers
    )
    observers: Sequence[Observer] = (tracking, progress)
    for observer in observers:
        observer.search_started(facts)
    _keep_run_id(plan.run_dir, tracking)
    bridge = ray_tune.Bridge(study, observers, plan.run_dir / "models", _slots(plan))
    with _stopping_on_signals(bridge):
        ray_tune.run(bridge, plan.shape, data, plan.run_dir / "tune")
    shutil.rmtree(plan.run_dir / "tune", ignore_errors=True)
    study.settle()
    results = _results(plan, study, facts, tracking, started, interrupted=bridge.interrupted)
    if results["champion"] and not bridge.interrupted:
        results["champion"]["dev"] = _score_on_dev(plan, data)
    _write(plan, results)
    for observer in observers:
        observer.search_finished(results)
    if bridge.interrupted:
        return INTERRUPTED
    return CHAMPION if results["champion"] else FAILED


def _prepare(plan: Plan) -> Any:
    """Tokenise the data in a process of its own. Returns a reference into the object store; the driver never holds them."""
    import ray

    from tuner.worker import prepare_data, thread_environment

    sample = plan.samples[0]
    remote = ray.remote(prepare_data).options(num_cpus=0, num_returns=2, runtime_env={"env_vars": thread_environment(2)})
    arguments = (plan.options.data, plan.tasks, sample.backbone, sample.max_length, plan.options.skip_bad_rows)
    data, done = remote.remote(*arguments)
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ConfigError):
            raise ConfigError(error.cause.problems) from None
        raise
    return data


def _slots(plan: Plan) -> Any:
    """How many trials may run at once, asked anew each time: the cluster may have grown."""
    from cluster import connect

    most = plan.options.max_concurrent

    def slots() -> int:
        fitting = plan.shape.slots(*connect.totals())
        return fitting if most is None else min(fitting, most)

    if slots() < 1:
        cpus, gpus = connect.totals()
        raise ConfigError(
            [
                f"a trial asks for {plan.shape.describe()}, but the cluster has {cpus:g} CPU and {gpus:g} GPU in all; "
                "lower --workers-per-trial, --cpus-per-worker or --gpus-per-worker"
            ]
        )
    return slots


def _facts(plan: Plan, study: Study, dashboard: str | None) -> SearchFacts:
    from tuner.environment import PROJECT, git
    from tuner.observer import SearchFacts

    rows = "; ".join(
        f"{task} {splits['train']} train, {splits['select']} select, {splits['dev']} dev"
        for task, splits in plan.summary.rows.items()
    )
    found = git(PROJECT)
    return SearchFacts(
        name=plan.name,
        run_dir=plan.run_dir,
        space=plan.space.name,
        profile=plan.space.profile or "none",
        data_source=plan.options.data,
        data_summary=rows,
        data_sha256=plan.summary.sha256,
        metric=plan.objective.describe(),
        n_trials=plan.n_trials,
        n_evaluations=plan.n_evaluations,
        max_concurrent=_slots(plan)(),
        sampler=plan.sampler,
        pruner=plan.pruner,
        dashboard_url=dashboard,
        tracking_uri=plan.tracking_uri,
        git_commit=found["commit"] if found else None,
        finished=tuple(record for record in study.records() if record.is_finished),
    )


def _results(
    plan: Plan, study: Study, facts: SearchFacts, tracking: MlflowTracking, started: str, *, interrupted: bool
) -> dict[str, Any]:
    from tuner import environment
    from tuner.results import build

    champion = study.best
    return build(
        facts,
        study.records(),
        seed=plan.options.seed,
        rows=plan.summary.rows,
        started=started,
        finished=None if interrupted else _now(),
        environment=environment.describe(),
        mlflow={
            "tracking_uri": tracking.tracking_uri,
            "experiment_id": tracking.experiment_id,
            "run_id": tracking.run_id,
        },
        optuna={"storage": plan.storage, "study_name": plan.name},
        champion=champion,
        champion_path=_hand_over(plan.run_dir, champion.number) if champion else None,
    )


def _hand_over(run_dir: Path, number: int) -> Path:
    """Put the best trial's model at `champion/`, as links to the files in `models/`, which a resumed search compares with."""
    champion = run_dir / "champion"
    shutil.rmtree(champion, ignore_errors=True)
    shutil.copytree(run_dir / "models" / str(number), champion, copy_function=_link_or_copy)
    return champion


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _score_on_dev(plan: Plan, data: Any) -> dict[str, float]:
    """The champion on the dev split, once: nothing was chosen on it."""
    import ray

    from tuner.worker import score_on_dev, thread_environment

    threads = plan.shape.cpus_per_worker
    remote = ray.remote(score_on_dev).options(
        num_cpus=threads, num_gpus=plan.shape.gpus_per_worker, runtime_env={"env_vars": thread_environment(threads)}
    )
    found: dict[str, float] = ray.get(remote.remote(str(plan.run_dir / "champion"), data, threads))
    return found


def _write(plan: Plan, results: dict[str, Any]) -> None:
    from tuner.results import FILE_NAME, write

    write(plan.run_dir / FILE_NAME, results)


def _earlier_run(run_dir: Path) -> str | None:
    path = run_dir / MLFLOW_FILE
    return json.loads(path.read_text(encoding="utf-8"))["run_id"] if path.is_file() else None


def _keep_run_id(run_dir: Path, tracking: MlflowTracking) -> None:
    if tracking.run_id is not None:
        (run_dir / MLFLOW_FILE).write_text(json.dumps({"run_id": tracking.run_id}) + "\n", encoding="utf-8")


@contextmanager
def _stopping_on_signals(bridge: Bridge) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the search cleanly; a second one ends the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        bridge.interrupted = True
        for known, handler in before.items():
            signal.signal(known, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
