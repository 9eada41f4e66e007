"""Checks, before anything starts, that every node that may run trials can use the place where checkpoints go."""

from __future__ import annotations

import uuid
from pathlib import Path

from cluster import connect
from cluster.shape import GangShape
from model.config import ConfigError
from tuner.artifacts.store import Store, reason_of

WAIT_S = 60.0
"""Seconds to wait for all nodes; one that does not answer counts as sound, and its trials will show it."""


def check(store: Store | None, run_dir: Path, shape: GangShape) -> None:
    """Raise `ConfigError` with a sentence for each node that cannot use the store or, without one, the run's folder."""
    others = [node for node in connect.other_nodes() if shape.has_room_on(node)]
    if not others:
        return
    where = store or Store(str(run_dir))
    marker = f".nodes-{uuid.uuid4().hex}"
    where.write(marker, marker.encode())
    try:
        answers = connect.ask_each(others, problem_here, where, marker, timeout_s=WAIT_S)
    finally:
        where.delete_file(marker)
    problems = [_sentence(address, store, run_dir, problem) for address, problem in answers.items() if problem]
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


def _sentence(address: str, store: Store | None, run_dir: Path, problem: str) -> str:
    if store is None:
        fix = "give --storage-path, a folder that all nodes share or a URL such as s3://bucket/folder"
        return f"the node {address} does not share the run's folder {run_dir} ({problem}); {fix}"
    fix = "every node needs the folder" if "://" not in store.url else "each node takes credentials from its own environment"
    return f"the node {address} cannot use --storage-path {store.url}: {problem}; {fix}"
