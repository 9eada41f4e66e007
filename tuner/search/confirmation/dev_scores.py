"""Evaluates trained models on the dev split, on which nothing is chosen; on the cluster, as many at once as fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.search.confirmation.bootstrap import Dev

if TYPE_CHECKING:
    from tuner.execution.runner import Runner

POLL_S = 0.5


def scored(folders: Mapping[int, Path], runner: Runner, tick: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Dev]]:
    """Yield each model's number and its predictions on dev as they are ready; `folders` are the models' folders by number.

    Calls `tick` about every `POLL_S` seconds. Raises KeyboardInterrupt when the user interrupts.
    """
    import ray

    from cluster import connect
    from tuner.execution.rank import forked_environment, predict_on_dev, process_environment

    shape, sends_files = runner.shape, runner.store is not None  # without a store all nodes share the run's folder
    need = (shape.cpus_per_worker, shape.gpus_per_worker)
    remote = ray.remote(predict_on_dev).options(
        num_cpus=shape.cpus_per_worker,
        num_gpus=shape.gpus_per_worker,
        runtime_env={"env_vars": process_environment(*need)} if connect.other_nodes() else forked_environment(*need),
    )
    models = {number: _files(folder) if sends_files else str(folder) for number, folder in folders.items()}
    waiting = {remote.remote(model, runner.data, shape.cpus_per_worker): number for number, model in models.items()}
    while waiting:
        done, _ = ray.wait(list(waiting), timeout=POLL_S)
        for call in done:
            yield waiting.pop(call), Dev(*ray.get(call))
        tick()
        if waiting and runner.interruption.requested:
            for call in waiting:
                ray.cancel(call, force=True)
            raise KeyboardInterrupt


def _files(folder: Path) -> dict[str, bytes]:
    """Contents of all files below `folder`, by relative path."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
