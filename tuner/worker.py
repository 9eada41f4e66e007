"""A rank of a gang: one actor process, kept warm from trial to trial."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.data.source import DataSource
    from model.data.tokenised import TokenizedData
    from model.evaluation import Evaluation, Failure
    from model.training import Training


class RankWorker:
    """Trains one trial after another as rank `rank` of `world_size`. Imports, threads and process group are set up once."""

    def __init__(self, rank: int, world_size: int, n_threads: int) -> None:
        import torch

        torch.set_num_threads(n_threads)
        self._rank = rank
        self._world_size = world_size
        self._training: Training | None = None
        self._address = ("127.0.0.1", 0)

    def rendezvous(self) -> tuple[str, int]:
        """This node's address and a free port on it, for rank 0 to be found at."""
        import socket

        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])

    def meet(self, address: tuple[str, int]) -> None:
        """Enter the gang's process group; returns when every rank has."""
        from model.engine import join

        self._address = address
        join(self._place())

    def begin(self, config: dict[str, Any], data: TokenizedData) -> None:
        """Set up a trial, in place of the one before."""
        from model.config import parse
        from model.training import Training

        self.end()
        self._training = Training(parse(config), data, self._place())

    def advance(self) -> Evaluation | Failure:
        """Train to the next evaluation. Raises `OutOfMemory` where there is no memory for it."""
        from model.out_of_memory import OutOfMemory, is_out_of_memory

        try:
            return self._current.advance()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            lines = str(error).splitlines()
            raise OutOfMemory(lines[0] if lines else "no memory is left") from None

    def save(self, folder: str) -> None:
        self._current.save(Path(folder))

    def load(self, folder: str) -> None:
        self._current.load(Path(folder))

    def export(self, folder: str, metrics: dict[str, float]) -> None:
        """Write the trained model; rank 0 does, with the help of all."""
        self._current.export(Path(folder), metrics)

    def end(self) -> None:
        """Give the trial's memory back."""
        if self._training is not None:
            self._training.close()
            self._training = None

    @property
    def _current(self) -> Training:
        assert self._training is not None, "begin() comes first"
        return self._training

    def _place(self) -> Any:
        from model.engine import Rank

        host, port = self._address
        return Rank(self._rank, self._world_size, local_rank=0, address=host, port=port)


def prepare_data(
    source: DataSource, tasks: tuple[str, ...], backbone: str, max_length: int, skip_bad_rows: bool, arms: tuple[str, ...]
) -> tuple[TokenizedData, bool]:
    """Read and tokenise a search's data, once for all its trials. The second value lets the driver wait without the first."""
    from model import backbone as backbones
    from model.data.source import read
    from model.data.tokenised import tokenise

    dataset = read(source, tasks, skip_bad_rows=skip_bad_rows, arms=arms)
    return tokenise(dataset, backbones.load_tokenizer(backbone), max_length), True


def score_on_dev(folder: str, data: TokenizedData, n_threads: int) -> dict[str, float]:
    """A saved model's metrics on the dev split, which nothing was chosen on."""
    import torch

    from model import saved
    from model.engine import Rank
    from model.evaluate import evaluate

    torch.set_num_threads(n_threads)
    model = saved.read(Path(folder))
    rank = Rank()
    return evaluate(model.network.to(rank.device), data, model.config, "dev", rank)


def process_environment(n_threads: int, n_gpus: float = 0.0) -> dict[str, str]:
    """Environment that keeps a process to its cores and GPUs: oversubscribed threads slow training several times over.

    Ray hides no GPU from a process that asked for none.
    """
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    inherited = {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    hidden = {} if n_gpus else {"CUDA_VISIBLE_DEVICES": ""}
    return {name: str(n_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | quiet | inherited | hidden
