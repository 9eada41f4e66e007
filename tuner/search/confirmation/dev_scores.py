"""Trained models on the dev split, which nothing is chosen on: scored on the cluster, as many at once as fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.search.confirmation.bootstrap import Dev

if TYPE_CHECKING:
    from tuner.execution.runner import Runner

POLL_S = 0.5


def scored(folders: Mapping[int, Path], runner: Runner, tick: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Dev]]:
    """Each model's number and its scores on dev, as soon as they are known. `folders` are the models', by number.

    Raises KeyboardInterrupt when the user interrupts.
    """
    import ray

    from cluster import connect
    from tuner.execution.rank import forked_environment, predict_on_dev, process_environment

    shape, sends_files = runner.shape, runner.store is not None  # else the nodes see the models' folders
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
    """By their paths within it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
