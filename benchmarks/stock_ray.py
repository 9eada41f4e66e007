"""The same search with Ray as its documentation shows it: `python -m benchmarks.stock_ray --data DIR --trials 8 --json FILE`.

`tune.Tuner` runs a function that launches a `TorchTrainer`, because passing a trainer to a Tuner is deprecated; `OptunaSearch`
draws from the space by its define-by-run function, start configurations first, and `ASHAScheduler` stops trials. What a trial
trains is in `benchmarks.stock_training`. Space, budget and data are those of `python -m tuner.search` with the same options, so
both sides search for the same thing.

Where stock Ray could do worse it is given the better: data are tokenised once and lie in the object store, drivers of trials
take no core, and the model is saved at the end of a whole trial alone.

Times are the workers' own, step by step; the JSON file is read by `benchmarks.sides`.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arguments import add_search_options, options_of, parser, run
from benchmarks.stock_training import METRIC, train_fn_per_worker

if TYPE_CHECKING:
    from tuner.search.plan import Plan
    from tuner.space import Space

DRIVERS = "trial_drivers"
"""A resource of which each trial's driver takes one: by default it would take a core from the trainings."""
QUIET = {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}


def train_driver(picks: dict[str, Any], given: dict[str, Any]) -> None:
    """One trial, as Ray Tune calls it: launches the training and waits for it."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = tune.get_context().get_trial_id()
    config = given["space"].values(picks) | {"seed": given["seed"]}
    loop = {"config": config, "steps": f"{given['folder']}/{trial}.steps", **{k: given[k] for k in ("data", "objective")}}
    TorchTrainer(
        train_fn_per_worker,
        train_loop_config=loop,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1, use_gpu=given["gpus"] > 0, resources_per_worker=given["resources"]
        ),
        run_config=ray.train.RunConfig(name=f"train-{trial}", storage_path=given["folder"], callbacks=[TuneReportCallback()]),
    ).fit()


@dataclass
class Recorded:
    """What came up from the trials, in order."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    """`trial`, `at`, and what the worker told."""

    def reached(self, target: float | None) -> bool:
        """Whether a trial that trained to its end has the target score."""
        return target is not None and any(told["is_last"] and told[METRIC] >= target for told in self.reports)


def search(plan: Plan, target: float | None) -> dict[str, Any]:
    """Run it. Returns what goes into the JSON file."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from model.data.source import read
    from model.data.tokenised import tokenise
    from model.encoder import backbone

    os.environ.update(QUIET)
    recorded = Recorded()

    class Record(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
            told = {name: result[name] for name in (METRIC, "index", "is_last", "evaluated_at")}
            recorded.reports.append({"trial": trial.trial_id, "at": time.time()} | told)

    class AtTarget(tune.Stopper):  # type: ignore[misc]
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return recorded.reached(target)

    connect(plan.options.max_concurrent or 1)
    sample = plan.samples[0]
    dataset = read(plan.source, plan.tasks, skip_bad_rows=plan.options.skip_bad_rows)
    data = tokenise(dataset, backbone.load_tokenizer(sample.backbone), sample.max_length)
    shape, aim, define = plan.shape, {"metric": METRIC, "mode": "max"}, partial(suggest, plan.space)
    resources = {"CPU": shape.cpus_per_worker} | ({"GPU": shape.gpus_per_worker} if shape.gpus_per_worker else {})
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "space": plan.space,
            "objective": plan.objective,
            "seed": plan.options.seed,
            "data": ray.put(data),
            "folder": folder,
            "gpus": shape.gpus_per_worker,
            "resources": resources,
        }
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(train_driver, given=given), {DRIVERS: 1}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(define, points_to_evaluate=start(plan), seed=plan.options.seed, **aim),
                scheduler=ASHAScheduler(max_t=plan.n_evaluations, **aim),
                num_samples=plan.n_trials,
                max_concurrent_trials=plan.options.max_concurrent,
            ),
            run_config=tune.RunConfig(name="stock", storage_path=folder, callbacks=[Record()], stop=AtTarget(), verbose=0),
        )
        results = tuner.fit()
        ended = time.time()
        trials = [trial.trial_id for trial in results._experiment_analysis.trials]
        steps = {path.stem: [float(line) for line in path.read_text().split()] for path in Path(folder).glob("*.steps")}
    ray.shutdown()
    return {
        "ended": ended,
        "reports": recorded.reports,
        "trials": [trial_entry(trial, steps.get(trial, []), recorded.reports) for trial in trials],
        "errors": [str(error).strip().splitlines()[-1] for error in results.errors],
    }


def connect(n_drivers: int) -> None:
    """Start a Ray of this command's own.

    What clears away after a trainer that Tune has stopped asks the first cluster it finds on the machine whether that one still
    runs (ray#65447); it is told which is ours, else every trial would leave its cores taken where there are others.
    """
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(
        "local",
        log_to_driver=False,
        logging_level="ERROR",
        resources={DRIVERS: n_drivers},
        include_dashboard=True,
        dashboard_port=port,
        runtime_env={"env_vars": {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}"}},
    )


def trial_entry(trial: str, steps: Sequence[float], reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A trial's first and last step, its last look at the data, and what became of it.

    steps: when the first step began, then when each one ended.
    """
    own = [told for told in reports if told["trial"] == trial]
    return {
        "trial": trial,
        "first_step": steps[0] if len(steps) > 1 else None,
        "last_step": steps[-1] if len(steps) > 1 else None,
        "n_steps": max(len(steps) - 1, 0),
        "evaluated": own[-1]["evaluated_at"] if own else None,
        "is_whole": bool(own) and bool(own[-1]["is_last"]),
        "score": own[-1][METRIC] if own else None,
    }


def suggest(space: Space, trial: Any) -> None:
    """Ray's define-by-run space; what is fixed is added where a trial begins."""
    space.suggest(trial)


def start(plan: Plan) -> list[dict[str, Any]]:
    return [dict(point) for point in plan.space.start[: plan.n_trials]]


def main(argv: Sequence[str] | None = None) -> int:
    text = parser("stock_ray", __doc__)
    add_search_options(text)
    text.add_argument("--target", type=float, help="end when a whole trial has this score")
    arguments = text.parse_args(argv)
    began = time.time()
    from tuner.search import plan

    found = {"began": began} | search(plan.make(options_of(arguments)), arguments.target)
    for trial in found["trials"]:
        train_s = (trial["last_step"] or 0.0) - (trial["first_step"] or 0.0)
        state, score = "whole" if trial["is_whole"] else "stopped", trial["score"] or float("nan")
        print(f"{trial['trial']}  {state:8}{trial['n_steps']:6} steps in {train_s:7.1f} s  score {score:.4f}")
    print(f"{found['ended'] - began:.1f} s in all", *found["errors"], sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
