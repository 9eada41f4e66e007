"""A rank of a gang: one actor process, kept warm from trial to trial."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import ray

from cluster import connect, fork
from model.config import parse
from model.engine.config import TIMEOUT_S
from model.engine.errors import OutOfMemory, is_out_of_memory
from model.training.evaluation import Evaluation, Failure, Rehearsal
from tuner.execution.feature_cache import shared

if TYPE_CHECKING:
    from model.data.tokenised import TokenizedData
    from model.training.trial import Training
    from tuner.artifacts.folder import StoredFolder

T = TypeVar("T")
AHEAD = ("model.engine.preimport",)
"""Modules that the fork server of the ranks has imported."""


def scratch(name: str) -> Path:
    """The folder `name` below this node's temporary folder, the same for all its ranks; an absolute path as it is."""
    return Path(tempfile.gettempdir(), name)


class Usage:
    """Measures a rank's processor and memory use between two calls of `lap`, under MLflow's names of system metrics."""

    def __init__(self) -> None:
        self._at_s, self._busy_s = time.monotonic(), time.process_time()

    def lap(self) -> dict[str, float]:
        """Processor time since the last lap in percent of one core, the process's peak memory so far in MB, and on a GPU the
        peak of its memory since the last lap in MB."""
        import torch

        now_s, busy_s = time.monotonic(), time.process_time()
        share = (busy_s - self._busy_s) / max(now_s - self._at_s, 1e-9)
        self._at_s, self._busy_s = now_s, busy_s
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        usage = {"system/cpu_utilization_percentage": 100.0 * share, "system/process_memory_megabytes": peak_kib / 1024}
        if torch.cuda.is_available():
            usage["system/gpu_0_memory_usage_megabytes"] = torch.cuda.max_memory_allocated() / 2**20
            torch.cuda.reset_peak_memory_stats()
        return usage


class RankWorker:
    """Trains one trial after another as rank `rank` of `world_size`. Imports, threads and process group are set up once."""

    def __init__(self, rank: int, world_size: int, n_threads: int, collective_timeout_s: float = TIMEOUT_S) -> None:
        import torch

        torch.set_num_threads(n_threads)
        self._rank = rank
        self._world_size = world_size
        self._collective_timeout_s = collective_timeout_s
        self._training: Training | None = None
        self._address = ("127.0.0.1", 0)
        self._usage = Usage()
        self._must_leave = False

    def _on_sigterm(self, number: int, frame: Any) -> None:
        """SIGTERM comes some time before SIGKILL: the trial is saved at its next evaluation and restarted elsewhere."""
        self._must_leave = True

    def must_leave(self) -> bool:
        """Whether this process got SIGTERM."""
        return self._must_leave

    def rendezvous(self) -> tuple[str, int]:
        """This node's address and a free port on it: rank 0's, where the others connect."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])

    def meet(self, address: tuple[str, int]) -> None:
        """Join the gang's process group at rank 0's `address`; returns when every rank has."""
        from model.engine.deepspeed import join

        self._address = address
        signal.signal(signal.SIGTERM, self._on_sigterm)
        join(self._place())

    def begin(self, config: dict[str, Any], data: TokenizedData, shelf: Any = None) -> None:
        """Set up a trial in place of the previous one. `shelf` is the actor of `feature_cache`, or None for no cache."""
        from model.training.features import key_of
        from model.training.trial import Training

        self.end()
        parsed = parse(config)

        def features_of(task: str, compute: Callable[[], Any]) -> Any:
            return compute() if shelf is None else shared(shelf, key_of(parsed, task), compute)

        self._training = Training(parsed, data, self._place(), features_of)
        self._usage = Usage()

    def idle(self) -> None:
        """Return when the calls before this one have ended."""

    def advance(self) -> Evaluation | Failure:
        """Train to the next evaluation. Raises `OutOfMemory`."""
        report = self._in_memory(self._current.advance)
        usage = self._usage.lap()
        return replace(report, system=usage) if isinstance(report, Evaluation) else report

    def _in_memory(self, work: Callable[[], T]) -> T:
        """The result of `work()`; raises `OutOfMemory` for every form that the error takes in torch and DeepSpeed."""
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            lines = str(error).splitlines()
            raise OutOfMemory(lines[0] if lines else "no memory is left") from None

    def rehearse(self, n_updates: int) -> Rehearsal:
        """Time `n_updates` updates and an evaluation of the trial. Raises `OutOfMemory`."""
        return self._in_memory(lambda: self._current.rehearse(n_updates))

    def heaviest_update(self) -> None:
        """Run the update that needs most memory. Raises `OutOfMemory`."""
        self._in_memory(self._current.heaviest_update)

    def save(self, folder: str, metrics: dict[str, float] | None = None) -> None:
        """Write a checkpoint to `scratch(folder)`, or with `metrics` the trained model, which rank 0 gathers from all ranks."""
        path = scratch(folder)
        path.mkdir(parents=True, exist_ok=True)
        if metrics is None:
            self._current.save(path)
        else:
            self._current.export(path, metrics)

    def load(self, folder: str) -> None:
        """Load the checkpoint in `scratch(folder)`."""
        self._current.load(scratch(folder))

    def node(self) -> str:
        """Ray's identifier of this rank's node."""
        return str(ray.get_runtime_context().get_node_id())

    def files_here(self, name: str) -> dict[str, str]:
        """SHA-256 of each file that this node's ranks have written to `scratch(name)`."""
        from tuner.artifacts.folder import contents

        return contents(scratch(name))

    def put(self, name: str, stored: StoredFolder, files: dict[str, str]) -> None:
        """Upload the files in `scratch(name)` to the store."""
        stored.put(scratch(name), files)

    def fetch(self, name: str, stored: StoredFolder) -> None:
        """Download a checkpoint from the store to `scratch(name)`."""
        stored.fetch(scratch(name))

    def discard(self, name: str) -> None:
        """Delete `scratch(name)`."""
        shutil.rmtree(scratch(name), ignore_errors=True)

    def end(self) -> None:
        """Free the trial's memory."""
        if self._training is not None:
            self._training.close()
            self._training = None

    @property
    def _current(self) -> Training:
        assert self._training is not None, "begin() comes first"
        return self._training

    def _place(self) -> Any:
        from model.engine.deepspeed import Rank

        host, port = self._address
        return Rank(self._rank, self._world_size, 0, host, port, self._collective_timeout_s)


def predict_on_dev(
    model: str | dict[str, bytes], data: TokenizedData, n_threads: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A saved model's predictions and the labels on the dev split, each (n,) by task.

    `model` is its folder or, for a node that does not see the folder, its files' contents by relative path.
    Raises `ConfigError` when it is not the model that was trained.
    """
    if isinstance(model, dict):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in model.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return predict_on_dev(folder, data, n_threads)
    import torch

    from model.engine.deepspeed import Rank
    from model.saved_model import folder as saved_model
    from model.training.evaluate import check_select_scores, predict_split

    torch.set_num_threads(n_threads)
    saved = saved_model.read(Path(model))
    network = saved.network.to(Rank().device)
    check_select_scores(saved, data)
    labels = {task: data.tasks[task]["dev"].labels.astype(np.float64) for task in saved.config.mixture}
    predictions = {
        task: predict_split(network, data, saved.config, task, "dev", np.arange(len(labels[task]))) for task in labels
    }
    return predictions, labels


def runtime_environment(n_threads: int, n_gpus: float, *, is_forked: bool) -> dict[str, Any]:
    """Ray's `runtime_env` of a process; `is_forked`: from this node's fork server, and all its paths must be this process's."""
    python = {"py_executable": fork.python(connect.job(), AHEAD)} if is_forked else {}
    return {"env_vars": process_environment(n_threads, n_gpus), **python}


def process_environment(n_threads: int, n_gpus: float = 0.0) -> dict[str, str]:
    """Environment variables that keep a process to its cores and GPUs.

    Oversubscribed threads slow training several times over, and Ray hides no GPU from a process that asked for none.
    """
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    inherited = {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    hidden = {} if n_gpus else {"CUDA_VISIBLE_DEVICES": ""}
    return {name: str(n_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | quiet | inherited | hidden
