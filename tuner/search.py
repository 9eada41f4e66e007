"""Search for the best configuration: `python -m tuner.search --space smart_mtl`.

The one command line of a search. Everything is checked first (`plan`), then Ray is started, the data are tokenised once, and
Tune runs the study's trials (`ray_tune`) while MLflow (`tracking`) and the terminal (`progress`) listen.

Exit status: 0 a champion exists; 1 the search failed; 2 wrong usage, nothing written; 3 the champion is only the trial that is
nearest to the requirements, which none meets; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.interruption import Interruption
from tuner.options import parse_arguments
from tuner.patience import away_in

if TYPE_CHECKING:
    from tuner.observer import SearchFacts
    from tuner.plan import Plan
    from tuner.requirements import Requirements
    from tuner.study import Study
    from tuner.tracking import MlflowTracking

CHAMPION, FAILED, WRONG_USAGE, SHORT, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        options = parse_arguments(argv)
        from tuner import plan

        planned = plan.make(options)
        if options.dry_run:
            from tuner.dry_run import describe

            print(describe(planned))
            return CHAMPION
        return run(planned)
    except ConfigError as error:
        if "--debug" in argv:
            raise
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return WRONG_USAGE


def run(plan: Plan) -> int:
    """Run a checked search from beginning to end. Returns the exit status."""
    from cluster import connect
    from tuner import commands, run_folder

    interruption = Interruption()
    with run_folder.opened(plan.run_dir, plan.options), interruption.listening():
        try:
            dashboard = _connect(plan)
            return _search(plan, dashboard, interruption)
        except Exception as error:
            away = away_in(error)
            if away is None:
                raise
            print(f"{away}; go on with: {commands.resume(plan.run_dir)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(f"interrupted; go on with: {commands.resume(plan.run_dir)}", file=sys.stderr)
            return INTERRUPTED
        finally:
            connect.disconnect()


def _search(plan: Plan, dashboard: str | None, interruption: Interruption) -> int:
    from tuner import bridge, champion, ray_tune, run_folder
    from tuner.budget import Meter, Spending, Used
    from tuner.checkpoints import Checkpoints
    from tuner.controls import stage
    from tuner.ledger import Ledger
    from tuner.models import Models
    from tuner.observer import broadcast
    from tuner.progress import make_progress
    from tuner.tracking import MlflowTracking

    state = run_folder.read_state(plan.run_dir) or run_folder.State(started=champion.now())
    run_folder.write_state(plan.run_dir, replace(state, n_trials=plan.n_trials))
    spending = Spending(plan.budget, plan.shape, Meter(Used(state.wall_s, state.gang_s)))
    slots = _slots(plan)
    data = _prepare(plan)
    controls = stage.run(plan, slots, data, interruption, spending)
    requirements = plan.requirements.with_controls({task: control["value"] for task, control in controls.items()})
    study = _open_study(plan, requirements)
    unfinished = study.take_up()
    models = Models(plan.run_dir / "models")
    checkpoints = Checkpoints(plan.run_dir / "checkpoints", plan.shape.n_workers)
    checkpoints.drop_others({asked.number for asked in unfinished})
    tracking = MlflowTracking(
        plan.tracking_uri, plan.run_dir, plan.space.name, state.mlflow_run_id, n_workers=plan.shape.n_workers
    )
    facts = replace(_facts(plan, study, dashboard, slots(), state.started), controls=controls)
    ledger = Ledger(plan.run_dir, spending.meter)
    observer = broadcast(tracking, ledger, make_progress(plan.options.quiet, plan.options.json, sys.stdout))
    observer.search_started(facts)
    _keep_run_id(plan, tracking)
    trials = bridge.Bridge(study, observer, models, checkpoints, slots, interruption, unfinished, spending)
    tune_states = ray_tune.run(trials, plan.shape, data, plan.run_dir / "tune", plan.options.checkpoint_every)
    bridge.drop_beaten(models, study)
    _keep_run_id(plan, tracking)
    interrupted = interruption.requested
    found = champion.hand_over(
        plan,
        study,
        models,
        facts,
        tracking,
        started=state.started,
        interrupted=interrupted,
        stopped_by=None if interrupted else trials.stopped_by,
    )
    if found["champion"] and not interrupted:
        champion.add_dev_metrics(plan, found, data, interruption)
    observer.search_finished(found)
    if study.exhausted:
        print(study.exhausted, file=sys.stderr)
    study.park()
    _check(plan, found, tune_states)
    return INTERRUPTED if interrupted else _status(found)


def _status(found: dict[str, Any]) -> int:
    """The exit status of a search that came to its end; what it lacks for a champion is said."""
    if found["champion"]:
        return CHAMPION if found["champion"]["feasible"] else SHORT
    if found["stopped_by"]:
        mend = f"--resume {found['name']} with --on-budget finish, or with a larger budget"
        print(f"no trial was completed before {found['stopped_by']}; use {mend}", file=sys.stderr)
    return FAILED


def _check(plan: Plan, found: dict[str, Any], tune_states: dict[int, str]) -> None:
    """Compare what the stores say of the trials, tell of what they disagree on, and note it in results.json."""
    from tuner import champion, check

    findings = check.check(plan.run_dir, found, plan.storage, plan.tracking_uri, tune_states)
    for sentence in (*findings.notes, *findings.disagreements):
        print(sentence, file=sys.stderr)
    found["consistency"] = findings.disagreements
    champion.keep(plan, found)


def _connect(plan: Plan) -> str | None:
    from cluster import connect

    try:
        return connect.connect(plan.options.address)
    except (ConnectionError, ValueError) as error:
        raise ConfigError([f"no Ray cluster answers at {plan.options.address}: {error}"]) from None


def _slots(plan: Plan) -> Callable[[], int]:
    """How many trials may run at once, asked anew each time: the cluster may have grown.

    Raises `ConfigError` when not even one fits.
    """
    from cluster import connect

    most = plan.options.max_concurrent

    def slots() -> int:
        fitting = sum(plan.shape.slots(cpus, gpus) for cpus, gpus in connect.nodes())
        return fitting if most is None else min(fitting, most)

    if slots() < 1:
        there = ", ".join(f"{cpus:g} CPU and {gpus:g} GPU" for cpus, gpus in connect.nodes())
        raise ConfigError(
            [
                f"a trial asks for {plan.shape.describe()} on one node, but the nodes have {there}; "
                "lower --workers-per-trial, --cpus-per-worker or --gpus-per-worker"
            ]
        )
    return slots


def _prepare(plan: Plan) -> Any:
    """Tokenise the data in a process of its own. Returns a reference into the object store; the driver never holds them."""
    import ray

    from tuner.worker import prepare_data, process_environment

    sample = plan.samples[0]
    remote = ray.remote(prepare_data).options(num_cpus=0, num_returns=2, runtime_env={"env_vars": process_environment(2)})
    skip = plan.options.skip_bad_rows
    data, done = remote.remote(plan.source, plan.tasks, sample.backbone, sample.max_length, skip, plan.arms)
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ConfigError):
            raise ConfigError(error.cause.problems) from None
        raise
    return data


def _open_study(plan: Plan, requirements: Requirements) -> Study:
    """The study, new or of an earlier session."""
    from tuner.study import Study
    from tuner.warm_start import earlier

    if plan.warm_start:  # before the study is made from it
        earlier.save(plan.warm_start.sources, plan.run_dir)
    study = Study.open(
        plan.storage,
        plan.name,
        plan.space,
        plan.objective,
        plan.sampler,
        plan.pruner,
        plan.options.seed,
        plan.n_trials,
        plan.n_evaluations,
        data_sha256=plan.summary.sha256,
        rung_resource=plan.rung_resource,
        history=plan.warm_start.history if plan.warm_start else None,
        requirements=requirements,
    )
    n_there = len(study.records())
    if n_there and not plan.resumed:
        raise ConfigError(
            [f"the storage already has a study {plan.name} with {n_there} trial(s); give this search another --name"]
        )
    return study


def _facts(plan: Plan, study: Study, dashboard: str | None, n_slots: int, started: str) -> SearchFacts:
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
        requirements=tuple(plan.requirements.texts),
        n_trials=plan.n_trials,
        n_evaluations=plan.n_evaluations,
        max_concurrent=n_slots,
        sampler=plan.sampler,
        pruner=plan.pruner,
        rung_resource=plan.rung_resource,
        dashboard_url=dashboard,
        tracking_uri=plan.tracking_uri,
        git_commit=found["commit"] if found else None,
        started=started,
        finished=tuple(record for record in study.records() if record.is_finished),
        unfinished=tuple(record for record in study.records() if not record.is_finished),
        budget=plan.budget.describe(),
    )


def _keep_run_id(plan: Plan, tracking: MlflowTracking) -> None:
    """Note MLflow's parent run for a later session, once the store has answered."""
    from tuner import champion, run_folder

    run_id = tracking.run_id
    if run_id is not None:
        champion.on_disk(lambda: run_folder.update_state(plan.run_dir, mlflow_run_id=run_id))


if __name__ == "__main__":
    sys.exit(main())
