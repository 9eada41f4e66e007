"""The cluster's nodes as a search sees them: whether each can use the place for checkpoints, how many trials fit at once, and
reports of trials that wait for resources."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster import connect
from cluster.node import Node
from cluster.shape import GangShape
from model.config import ConfigError
from tuner.artifacts.store import Store, reason_of
from tuner.artifacts.write_queue import write_stderr

CHECK_S = 60.0
"""Seconds to wait for all nodes; one that does not answer counts as sound, and its trials will show it."""
LOOK_S = 2.0
"""Seconds between two looks at the cluster."""
PATIENCE_S = 10.0
"""Seconds that a trial may wait without a report; a trial that has just ended frees its resources within that time."""


class Waiting:
    """Reports each trial that waits longer than `PATIENCE_S`. Call `look` whenever `is_due`."""

    def __init__(self, shape: GangShape, clock: Callable[[], float] = time.monotonic) -> None:
        self._shape = shape
        self._clock = clock
        self._looked_at = 0.0
        self._since: dict[int | None, float] = {}
        """When each trial was first seen waiting, by number; None is a search for which the cluster has no room at all."""
        self._reported: set[int | None] = set()

    def __deepcopy__(self, memo: dict[int, object]) -> Waiting:
        return self

    def __getstate__(self) -> dict[str, object]:
        """Empty: Tune pickles its plug-ins into a snapshot that is never read."""
        return {}

    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return self._clock() - self._looked_at >= LOOK_S

    def look(self, pending: Sequence[int], running: Sequence[int]) -> None:
        """Report the `pending` trials that have waited too long, and the reported ones that are now `running`."""
        now = self._looked_at = self._clock()
        waiting: list[int | None] = list(pending)
        if not pending and not running and self._shape.slots_of(connect.nodes()) < 1:
            waiting = [None]
        for number in sorted(self._reported.difference(waiting), key=str):
            self._reported.remove(number)
            if number is None:
                write_stderr("the search continues: the cluster has room for a trial again")
            elif number in running:
                write_stderr(f"trial {number} has started")
        self._since = {number: self._since.get(number, now) for number in waiting}
        for number, since in self._since.items():
            if number not in self._reported and now - since >= PATIENCE_S and (number is None or not connect.is_placed()):
                self._reported.add(number)
                write_stderr(self._sentence("the search" if number is None else f"trial {number}", len(running)))

    def _sentence(self, name: str, n_running: int) -> str:
        """Why `name` waits: what a trial needs, and what is free or too small."""
        nodes, needed = connect.nodes(), self._shape.describe()
        if self._shape.slots_of(nodes) < 1:
            there = ", ".join(node.describe() for node in nodes) or "no node"
            return f"{name} waits: a trial needs {needed}, but the cluster is too small now ({there}); add nodes"
        free = ", ".join(node.describe_free() for node in nodes)
        return f"{name} waits: a trial needs {needed}; free now: {free}; {self._users(nodes, n_running)}"

    def _users(self, nodes: Sequence[Node], n_running: int) -> str:
        """What uses the resources that are not free."""
        n_ranks = n_running * self._shape.n_workers
        cpus = sum(node.cpus - node.free_cpus for node in nodes) - n_ranks * self._shape.cpus_per_worker
        gpus = sum(node.gpus - node.free_gpus for node in nodes) - n_ranks * self._shape.gpus_per_worker
        used = " and ".join(
            f"{amount:g} {unit}" for amount, unit in ((round(cpus, 4), "CPU"), (round(gpus, 4), "GPU")) if amount > 0
        )
        if not used:
            return f"the {n_running} running trial(s) of this search use the rest"
        drivers = connect.other_drivers()
        return f"other programs use {used}" + (f": {', '.join(drivers)}" if drivers else "")


def slots(shape: GangShape, most: int | None) -> Callable[[], int]:
    """A function that counts the trials that fit the cluster as it is then, at most `most`.

    Raises `ConfigError` when not even one fits.
    """

    def count() -> int:
        fitting = shape.slots_of(connect.nodes())
        return fitting if most is None else min(fitting, most)

    if count() < 1:
        there = ", ".join(node.describe() for node in connect.nodes())
        fix = "lower --workers-per-trial, --cpus-per-worker or --gpus-per-worker"
        raise ConfigError([f"a trial needs {shape.describe()}, but the cluster is too small: {there}; {fix}"])
    return count


def check_nodes(store: Store | None, run_dir: Path, shape: GangShape) -> None:
    """Raise `ConfigError` with a sentence for each node that cannot use the store or, without one, the run's folder."""
    others = [node for node in connect.other_nodes() if shape.has_room_on(node)]
    if not others:
        return
    where = store or Store(str(run_dir))
    marker = f".nodes-{uuid.uuid4().hex}"
    where.write(marker, marker.encode())
    try:
        answers = connect.ask_each(others, problem_here, where, marker, timeout_s=CHECK_S)
    finally:
        where.delete_file(marker)
    problems = [_problem_of(address, store, run_dir, problem) for address, problem in answers.items() if problem]
    if problems:
        raise ConfigError(problems)


def problem_here(store: Store, marker: str) -> str | None:
    """Why this node, on which it is called, cannot read `marker` in the store or write there; None where it can."""
    try:
        filesystem, path = store.place_of(marker)
        with filesystem.open_input_stream(path) as stream:
            stream.read()
        store.probe()
    except FileNotFoundError:
        return "files that this machine writes there are not visible on it"
    except (OSError, ValueError, ImportError) as error:
        return reason_of(error)
    return None


def _problem_of(address: str, store: Store | None, run_dir: Path, problem: str) -> str:
    if store is None:
        fix = "give --storage-path, a folder that all nodes share or a URL such as s3://bucket/folder"
        return f"the node {address} does not share the run's folder {run_dir} ({problem}); {fix}"
    fix = "every node needs the folder" if "://" not in store.url else "each node takes credentials from its own environment"
    return f"the node {address} cannot use --storage-path {store.url}: {problem}; {fix}"
