"""One session of a search, from a checked plan to results: what comes before the trials, the trials, and what comes after."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.artifacts.models import Models
from tuner.artifacts.remote_checkpoints import checkpoints_of
from tuner.artifacts.retry import on_disk
from tuner.config import run_folder
from tuner.config.budget import Meter, Spending, Used
from tuner.execution import bridge
from tuner.execution import node_check as nodes
from tuner.execution import tune as ray_tune
from tuner.execution.waiting import slots
from tuner.results.environment import PROJECT, git
from tuner.results.facts import Dataset, SearchFacts
from tuner.results.search_result import exit_status
from tuner.search import consistency as check
from tuner.search import hand_over as champion
from tuner.search.confirmation.records import FOLDER, Kept
from tuner.search.confirmation.reserve import Reserve
from tuner.search.confirmation.stage import Stage
from tuner.search.controls import stage as controls
from tuner.search.preflight import stage as preflight
from tuner.search.warm_start import earlier
from tuner.study import Study, Suggestion
from tuner.study.samplers.history import History
from tuner.tracking.budget_log import Ledger
from tuner.tracking.events import Observer, broadcast
from tuner.tracking.mlflow import MlflowTracking
from tuner.tracking.timeline import Timeline

if TYPE_CHECKING:
    from tuner.config.requirements import Requirements
    from tuner.execution.interruption import Interruption
    from tuner.search.plan import Plan
    from tuner.search.tokenise import Preparation
    from tuner.tracking.progress.terminal import Progress


@dataclass(frozen=True)
class Session:
    """What is there before the first trial is asked for."""

    plan: Plan
    """Its store is the run's own part."""
    interruption: Interruption
    slots: Callable[[], int]
    data: Any
    reserve: Reserve
    spending: Spending
    watch: preflight.Watch | None
    controls: Mapping[str, Mapping[str, Any]]
    requirements: Requirements
    """With what the controls reached."""
    study: Study
    unfinished: Sequence[Suggestion]
    """What an earlier session began."""
    started: str
    mlflow_run_id: str | None
    """The parent run of an earlier session."""


@dataclass(frozen=True)
class Listeners:
    """Who hears of the trials, and what they were told of the search."""

    facts: SearchFacts
    tracking: MlflowTracking
    observer: Observer
    """All of them."""


@dataclass(frozen=True)
class Trained:
    """What the trials left."""

    models: Models
    stopped_by: str | None
    """The budget or the target that ended them; None also where the user did."""
    tune_states: dict[int, str]


def run(plan: Plan, preparation: Preparation, dashboard: str | None, interruption: Interruption, progress: Progress) -> int:
    """Search. Returns the exit status."""
    session = _begin(plan, preparation, interruption, progress)
    listeners = _listen(session, dashboard, progress)
    trained = _train(session, listeners)
    found = _finish(session, listeners, trained)
    listeners.observer.search_finished(found)
    if session.study.exhausted:
        print(session.study.exhausted, file=sys.stderr)
    session.study.park()
    _check(session.plan, found, trained.tune_states)
    return _status(found)


def _begin(plan: Plan, preparation: Preparation, interruption: Interruption, progress: Progress) -> Session:
    state = run_folder.read_state(plan.run_dir) or run_folder.State(started=champion.now())
    stored_as = state.stored_as or f"{plan.name}-{uuid.uuid4().hex[:12]}"
    run_folder.write_state(plan.run_dir, replace(state, n_trials=plan.n_trials, stored_as=stored_as))
    nodes.check(plan.store, plan.run_dir, plan.shape)
    plan = replace(plan, store=plan.store and plan.store.within(stored_as))
    slots = slots_of(plan)
    reserve = Reserve(plan.n_confirming, slots, plan.budget, plan.shape)
    spending = Spending(plan.budget, plan.shape, Meter(Used(state.wall_s, state.gang_s)), reserve)
    data = preparation.finish()
    watch = preflight.before(plan, slots, data, interruption, spending.meter)
    reached = controls.run(plan, slots, data, interruption, spending, progress)
    requirements = plan.requirements.with_controls({task: control["value"] for task, control in reached.items()})
    study = _open_study(plan, requirements)
    return Session(
        plan=plan,
        interruption=interruption,
        slots=slots,
        data=data,
        reserve=reserve,
        spending=spending,
        watch=watch,
        controls=reached,
        requirements=requirements,
        study=study,
        unfinished=study.take_up(),
        started=state.started,
        mlflow_run_id=state.mlflow_run_id,
    )


def _listen(session: Session, dashboard: str | None, progress: Progress) -> Listeners:
    """Tell everybody that the search begins."""
    plan = session.plan
    tracking = MlflowTracking(
        plan.tracking_uri, plan.run_dir, plan.space.name, session.mlflow_run_id, n_workers=plan.shape.n_workers
    )
    ledger = Ledger(plan.run_dir, session.spending.meter)
    known = {"seed": plan.options.seed, "rows": plan.summary.rows, "optuna": champion.optuna_of(plan)}
    timeline = Timeline(plan.run_dir, plan.shape, known)
    observer = broadcast(tracking, ledger, timeline, session.reserve, progress)
    facts = _facts(session, dashboard)
    observer.search_started(facts)
    controls.track(session.controls, tracking)
    _keep_run_id(plan, tracking)
    return Listeners(facts, tracking, observer)


def _train(session: Session, listeners: Listeners) -> Trained:
    """Run the trials."""
    plan, study, interruption = session.plan, session.study, session.interruption
    Kept(plan.run_dir / FOLDER).end()  # its confirmation is not under way any more
    models, checkpoints = Models(plan.run_dir / "models"), checkpoints_of(plan.run_dir, plan)
    checkpoints.drop_others({*(asked.number for asked in session.unfinished), *study.paused})
    trials = bridge.Bridge(
        study, listeners.observer, models, checkpoints, session.slots, interruption, session.unfinished, session.spending
    )
    tune_states = ray_tune.run(trials, plan.shape, session.data, plan.run_dir / "tune", plan.options, plan.store)
    checkpoints.drop_others({record.number for record in study.records() if not record.is_finished})
    bridge.drop_beaten(models, study)
    _keep_run_id(plan, listeners.tracking)
    return Trained(models, None if interruption.requested else trials.stopped_by, tune_states)


def _finish(session: Session, listeners: Listeners, trained: Trained) -> dict[str, Any]:
    """Confirm the best, and hand the champion over. Returns results.json's contents."""
    plan, study, interruption, watch = session.plan, session.study, session.interruption, session.watch
    hand_over = partial(champion.hand_over, plan, study, trained.models, listeners.facts, listeners.tracking)
    hand_over = partial(hand_over, started=session.started, stopped_by=trained.stopped_by)
    confirming = Stage(
        plan,
        session.slots,
        session.data,
        interruption,
        session.spending,
        session.requirements,
        listeners.tracking,
        listeners.observer,
        session.reserve.training_s,
    )
    confirmed = None
    if plan.confirmation and study.best and not interruption.requested:
        hand_over(interrupted=True)  # what a kill from here on leaves
        confirmed = confirming.run(study.records())
    if watch is not None:
        watch.stop()
    interrupted = interruption.requested
    found = hand_over(interrupted=interrupted, confirmed=confirmed, finalists=confirming.models)
    if watch is not None:
        whole = not interrupted and found["stopped_by"] is None
        found["preflight"] = watch.results(plan.shape, plan.options.price_per_gpu_hour, whole=whole)
    if found["champion"] and not interrupted and not found["champion"]["confirmed"]:
        champion.add_dev_metrics(plan, found, session.data, interruption)
    if found["champion"] and not interrupted and plan.options.register:
        found = champion.register(plan, found, listeners.tracking)
    return found


def _open_study(plan: Plan, requirements: Requirements) -> Study:
    """The study, new or of an earlier session."""
    if plan.warm_start:  # before the study is made from it
        earlier.save(plan.warm_start.sources, plan.run_dir)
    study = Study(
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
        max_trials=plan.max_trials,
        history=plan.warm_start.history if plan.warm_start else History(),
        requirements=requirements,
    )
    n_there = len(study.records())
    if n_there and not plan.resumed:
        raise ConfigError(
            [f"the storage already has a study {plan.name} with {n_there} trial(s); give this search another --name"]
        )
    return study


def _facts(session: Session, dashboard: str | None) -> SearchFacts:
    plan, study = session.plan, session.study
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
        datasets={
            task: Dataset(plan.options.data, plan.summary.task_sha256[task], splits)
            for task, splits in plan.summary.rows.items()
        },
        metric=plan.objective.describe(),
        requirements=tuple(plan.requirements.texts),
        n_trials=plan.n_trials,
        n_evaluations=plan.n_evaluations,
        max_concurrent=session.slots(),
        sampler=plan.sampler,
        pruner=plan.pruner,
        max_trials=plan.max_trials,
        dashboard_url=dashboard,
        tracking_uri=plan.tracking_uri,
        git_commit=found["commit"] if found else None,
        started=session.started,
        finished=tuple(record for record in study.records() if record.is_finished),
        unfinished=tuple(record for record in study.records() if not record.is_finished),
        budget=plan.budget_in_words,
        confirmation=plan.confirmation.describe() if plan.confirmation else "none",
        gang=asdict(plan.shape),
        controls=controls.facts_of(session.controls),
    )


def _keep_run_id(plan: Plan, tracking: MlflowTracking) -> None:
    """Note MLflow's parent run for a later session, once the store has answered."""
    run_id = tracking.run_id
    if run_id is not None:
        on_disk(lambda: run_folder.update_state(plan.run_dir, mlflow_run_id=run_id))


def _check(plan: Plan, found: dict[str, Any], tune_states: dict[int, str]) -> None:
    """Compare what the stores say of the trials, tell of what they disagree on, and note it in results.json."""
    findings = check.check(plan.run_dir, found, plan.storage, plan.tracking_uri, tune_states)
    for sentence in (*findings.notes, *findings.disagreements):
        print(sentence, file=sys.stderr)
    found["consistency"] = findings.disagreements
    champion.keep(plan, found)


def _status(found: dict[str, Any]) -> int:
    """The exit status of a search that came to its end; what it lacks for a champion is said."""
    if found["finished"] and not found["champion"] and found["stopped_by"]:
        mend = f"--resume {found['name']} with --on-budget finish, or with a larger budget"
        print(f"no trial was completed before {found['stopped_by']}; use {mend}", file=sys.stderr)
    return exit_status(found)


def slots_of(plan: Plan) -> Callable[[], int]:
    """How many trials run at once, which nodes that come and go may change."""
    return slots(plan.shape, plan.options.max_concurrent)
