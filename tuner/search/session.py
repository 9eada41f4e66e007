"""Runs one session of a search, from a plan to results, stage by stage:

tokenise → preflight → controls → trials → confirmation → hand_over
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.artifacts.retry import retry_on_full_disk
from tuner.config import run_folder
from tuner.config.budget import Meter, Spending, Used
from tuner.execution.nodes import check_nodes, slots
from tuner.execution.runner import Runner, RunResult
from tuner.results.environment import PROJECT, git
from tuner.results.facts import Dataset, SearchFacts
from tuner.results.search_result import exit_status
from tuner.search import consistency, controls, warm_start
from tuner.search.confirmation.reserve import Reserve
from tuner.search.confirmation.stage import Stage
from tuner.search.confirmation.trainings import FOLDER, ConfirmationRecords
from tuner.search.context import Context
from tuner.search.hand_over import HandOver, now
from tuner.search.preflight import stage as preflight
from tuner.study import Study, Suggestion, read_records
from tuner.study.samplers.history import History
from tuner.tracking.events import Broadcast, BudgetLog, Observer
from tuner.tracking.mlflow import MlflowTracking
from tuner.tracking.timeline import Timeline

if TYPE_CHECKING:
    from tuner.config.requirements import Requirements
    from tuner.execution.interruption import Interruption
    from tuner.search.plan import Plan
    from tuner.search.tokenise import Tokenisation


@dataclass(frozen=True)
class Session:
    """The state of a session before its first trial."""

    context: Context
    reserve: Reserve
    watch: preflight.Watch | None
    controls: Mapping[str, Mapping[str, Any]]
    requirements: Requirements
    """With the thresholds from the controls."""
    study: Study
    unfinished: Sequence[Suggestion]
    """Trials that an earlier session began."""
    started: str
    """When the first session began, ISO 8601."""
    mlflow_run_id: str | None
    """The parent run of an earlier session; None in the first one."""


@dataclass(frozen=True)
class Listeners:
    """The observers of a session, and the facts of the search."""

    facts: SearchFacts
    tracking: MlflowTracking
    observer: Observer
    """All observers together, `tracking` included."""


def run(plan: Plan, tokenisation: Tokenisation, dashboard: str | None, interruption: Interruption, progress: Observer) -> int:
    """Run all stages of a search, and return the exit status."""
    session = _prepare(plan, tokenisation, interruption, progress)
    listeners = _listen(plan, session, dashboard, progress)
    trained = _train(session, listeners)
    _keep_run_id(session.context, listeners.tracking)
    hand_over = HandOver(session.context, session.study, listeners.facts, listeners.tracking, plan.storage, plan.warm_start)
    results = _finish(plan, session, listeners, trained, hand_over)
    listeners.observer.search_finished(results)
    if session.study.exhausted:
        print(session.study.exhausted, file=sys.stderr)
    session.study.suspend()
    _check(plan, results, trained.tune_states)
    hand_over.keep(results)
    return _status(results)


def _prepare(plan: Plan, tokenisation: Tokenisation, interruption: Interruption, progress: Observer) -> Session:
    """The stages before the first trial: tokenise, preflight, controls."""
    state = run_folder.read_state(plan.run_dir) or run_folder.State(started=now())
    stored_as = state.stored_as or f"{plan.name}-{uuid.uuid4().hex[:12]}"
    here = str(plan.run_dir.resolve())
    state = replace(state, n_trials=plan.n_trials, stored_as=stored_as, study=plan.study_name, folder=here)
    run_folder.write_state(plan.run_dir, state)
    check_nodes(plan.store, plan.run_dir, plan.shape)
    count = slots_of(plan)
    reserve = Reserve(plan.n_confirming, count, plan.budget, plan.shape)
    spending = Spending(plan.budget, plan.shape, Meter(Used(state.wall_s, state.gang_s)), reserve)
    runner = Runner(
        plan.shape,
        count,
        interruption,
        tokenisation.finish(),
        plan.options.checkpoint_every,
        plan.options.collective_timeout,
        plan.store and plan.store.within(stored_as),
    )
    context = Context(plan.run_dir, plan.options.seed, runner, spending)
    watch = None if plan.options.no_preflight else preflight.run(context, plan.workload, _used_before(plan))
    reached = controls.run(context, plan.controls, progress)
    requirements = plan.requirements.with_controls({task: control["value"] for task, control in reached.items()})
    study = _open_study(plan, requirements)
    return Session(
        context=context,
        reserve=reserve,
        watch=watch,
        controls=reached,
        requirements=requirements,
        study=study,
        unfinished=study.resume_unfinished(),
        started=state.started,
        mlflow_run_id=state.mlflow_run_id,
    )


def _listen(plan: Plan, session: Session, dashboard: str | None, progress: Observer) -> Listeners:
    """Make all observers, MLflow's run and the records in the run's folder included, and announce the search to them."""
    meter, n_workers = session.context.spending.meter, plan.shape.n_workers
    tracking = MlflowTracking(plan.tracking_uri, plan.run_dir, plan.space.name, session.mlflow_run_id, n_workers=n_workers)
    optuna = {"storage": plan.storage, "study_name": plan.study_name}
    timeline = Timeline(plan.run_dir, plan.shape, {"seed": plan.options.seed, "rows": plan.summary.rows, "optuna": optuna})
    observer = Broadcast(tracking, BudgetLog(plan.run_dir, meter), timeline, session.reserve, progress)
    facts = _facts(plan, session, dashboard)
    observer.search_started(facts)
    controls.track(session.controls, tracking)
    _keep_run_id(session.context, tracking)
    return Listeners(facts, tracking, observer)


def _train(session: Session, listeners: Listeners) -> RunResult:
    """The stage trials."""
    context, study = session.context, session.study
    ConfirmationRecords(context.run_dir / FOLDER).end()  # new trials make an earlier session's confirmation void
    trained = context.runner.run(
        study,
        context.run_dir,
        listeners.observer,
        context.spending,
        session.unfinished,
        resumable={*(asked.number for asked in session.unfinished), *study.paused},
    )
    trained.checkpoints.drop_others({record.number for record in study.records() if not record.is_finished})
    return replace(trained, stopped_by=None if context.interruption.requested else trained.stopped_by)


def _finish(plan: Plan, session: Session, listeners: Listeners, trained: RunResult, hand_over: HandOver) -> dict[str, Any]:
    """The stages after the last trial: confirmation, hand_over. Returns results.json's contents."""
    context, study, watch = session.context, session.study, session.watch
    confirmed, finalists = None, None
    if plan.confirmation and study.best and not context.interruption.requested:
        hand_over.write(trained.models, interrupted=True, stopped_by=trained.stopped_by)  # in case the confirmation is killed
        stage = Stage(
            context,
            plan.confirmation,
            plan.objective,
            session.requirements,
            listeners.tracking,
            listeners.observer,
            session.reserve.training_s,
        )
        confirmed, finalists = stage.run(study.records()), stage.models
    if watch is not None:
        watch.stop()
    interrupted = context.interruption.requested
    results = hand_over.write(
        trained.models, interrupted=interrupted, stopped_by=trained.stopped_by, confirmed=confirmed, finalists=finalists
    )
    if watch is not None:
        whole = not interrupted and results["stopped_by"] is None
        results["preflight"] = watch.results(plan.shape, plan.options.price_per_gpu_hour, whole=whole)
    if results["champion"] and not interrupted:
        if not results["champion"]["confirmed"]:
            hand_over.add_dev_metrics(results)
        if plan.options.register:
            results = hand_over.register(results)
    return results


def _used_before(plan: Plan) -> float:
    """Compute of earlier sessions, in full trials."""
    try:
        return sum(record.share for record in read_records(plan.storage, plan.study_name)) if plan.resumed else 0.0
    except ConfigError:  # the previous session ended before it made the study
        return 0.0


def _open_study(plan: Plan, requirements: Requirements) -> Study:
    """The study, new or of an earlier session."""
    if plan.warm_start:
        warm_start.save(plan.warm_start.sources, plan.run_dir)
    study = Study(
        plan.storage,
        plan.study_name,
        plan.space,
        plan.objective,
        plan.sampler,
        plan.pruner,
        plan.options.seed,
        plan.n_trials,
        plan.n_evaluations,
        data_sha256=plan.summary.sha256,
        max_trials=plan.max_trials,
        history=plan.warm_start.history if plan.warm_start else History(),
        requirements=requirements,
    )
    n_trials = len(study.records())
    if n_trials and not plan.resumed:
        raise ConfigError(
            [f"the storage already has a study {plan.study_name} with {n_trials} trial(s); give this search another --name"]
        )
    return study


def _facts(plan: Plan, session: Session, dashboard: str | None) -> SearchFacts:
    records, summary = session.study.records(), plan.summary
    rows = (
        f"{task} {splits['train']} train, {splits['select']} select, {splits['dev']} dev"
        for task, splits in summary.rows.items()
    )
    revision = git(PROJECT)
    return SearchFacts(
        name=plan.name,
        study_name=plan.study_name,
        run_dir=plan.run_dir,
        space=plan.space.name,
        profile=plan.space.profile or "none",
        data_source=plan.options.data,
        data_summary="; ".join(rows),
        data_sha256=summary.sha256,
        datasets={task: Dataset(plan.options.data, summary.task_sha256[task], splits) for task, splits in summary.rows.items()},
        metric=plan.objective.describe(),
        requirements=tuple(plan.requirements.texts),
        n_trials=plan.n_trials,
        n_evaluations=plan.n_evaluations,
        max_concurrent=session.context.runner.slots(),
        sampler=plan.sampler,
        pruner=plan.pruner,
        max_trials=plan.max_trials,
        dashboard_url=dashboard,
        tracking_uri=plan.tracking_uri,
        git_commit=revision["commit"] if revision else None,
        started=session.started,
        finished=tuple(record for record in records if record.is_finished),
        unfinished=tuple(record for record in records if not record.is_finished),
        budget=plan.budget_in_words,
        confirmation=plan.confirmation.describe() if plan.confirmation else "none",
        gang=asdict(plan.shape),
        data_warnings={task: asdict(found) for task, found in plan.data_warnings.items()},
        controls=controls.facts_of(session.controls),
    )


def _keep_run_id(context: Context, tracking: MlflowTracking) -> None:
    """Write the identifier of MLflow's parent run to the run's folder, if the server has answered."""
    run_id = tracking.run_id
    if run_id is not None:
        retry_on_full_disk(lambda: run_folder.update_state(context.run_dir, mlflow_run_id=run_id))


def _check(plan: Plan, results: dict[str, Any], tune_states: dict[int, str]) -> None:
    """Compare the stores of the search, print their disagreements, and add them to `results`."""
    findings = consistency.check(plan.run_dir, results, plan.storage, plan.tracking_uri, tune_states)
    for sentence in (*findings.notes, *findings.disagreements):
        print(sentence, file=sys.stderr)
    results["consistency"] = findings.disagreements


def _status(results: dict[str, Any]) -> int:
    """The exit status of a finished search; prints what to do if a budget ended it before the first complete trial."""
    if results["finished"] and not results["champion"] and results["stopped_by"]:
        sentence = f"no trial was completed before {results['stopped_by']}"
        print(f"{sentence}; use --resume {results['name']} with a larger budget", file=sys.stderr)
    return exit_status(results)


def slots_of(plan: Plan) -> Callable[[], int]:
    """A function that counts the trials that can run at once, which changes with the nodes."""
    return slots(plan.shape, plan.options.max_concurrent)
