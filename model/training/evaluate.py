"""A network's predictions and metrics on a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from model import metrics
from model.config import ConfigError, TrialConfig
from model.data.tokenised import TokenizedData
from model.encoder.network import Features, MultitaskNetwork, batch_to, predictions
from model.engine.deepspeed import Rank
from model.saved_model.folder import SavedModel
from model.tasks import TASKS
from model.training.batches import batch_of, eval_tokens, in_length_order

POOLED_TOKENS = 2**20
"""Largest number of tokens of an evaluation batch of features, which only the heads process."""
N_COMPARED = 8
"""Select examples of each task by which a saved model is compared with the one that was trained."""
TOLERANCE = 1e-5
"""Largest difference of a probability, or of a regression's value as a share of its range, between the two."""


@torch.no_grad()
def predict_split(
    network: MultitaskNetwork,
    data: TokenizedData,
    config: TrialConfig,
    task: str,
    split: str,
    indices: np.ndarray,
    features: Features | None = None,
) -> np.ndarray:
    """Predictions (N,) for examples `indices` (N,) of a split, in their order. The network's mode is restored.

    Examples of similar length share a batch, to reduce padding. A prediction is NaN if its logits are not all finite, because
    an argmax would hide that the network has diverged.
    """
    device = next(network.parameters()).device
    positions, parts = [], []
    n_tokens = eval_tokens(network) if features is None else POOLED_TOKENS
    with _eval_mode(network, config):
        for chosen in in_length_order(data, config, task, split, indices, n_tokens):
            batch = batch_to(batch_of(data, config, features, task, split, indices[chosen]), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
                logits = network.logits(batch)
            diverged = ~logits.isfinite().all(-1)
            positions.append(chosen)
            parts.append(predictions(TASKS[task], logits).double().masked_fill(diverged, torch.nan))
    in_order = np.empty(len(indices), dtype=np.float64)
    if parts:
        in_order[np.concatenate(positions)] = torch.cat(parts).cpu().numpy()
    return in_order


@contextmanager
def _eval_mode(network: MultitaskNetwork, config: TrialConfig) -> Iterator[None]:
    """Without dropout within the context; the network's mode is restored."""
    was_training = network.training
    network.eval()
    yield
    network.train(was_training)
    if config.mode == "pretrain":
        network.encoder.eval()


@torch.no_grad()
def select_scores(network: MultitaskNetwork, data: TokenizedData, config: TrialConfig) -> dict[str, list[list[float]]]:
    """Scores (N, C) of the first `N_COMPARED` select examples of each task, computed in float32 whatever the precision.

    Probabilities of the classes, or a regression's value as a share of its range. The network's mode is restored.
    """
    scores: dict[str, list[list[float]]] = {}
    for task in config.mixture:
        examples = np.arange(min(N_COMPARED, len(data.tasks[task]["select"].labels)))
        batch = batch_to(batch_of(data, config, None, task, "select", examples), next(network.parameters()).device)
        with _eval_mode(network, config):
            logits, (low, high) = network.logits(batch).float(), TASKS[task].label_range
        is_classes = TASKS[task].kind == "classification"
        scores[task] = (logits.softmax(-1) if is_classes else (logits - low) / (high - low)).tolist()
    return scores


def check_select_scores(saved: SavedModel, data: TokenizedData) -> None:
    """Compare a loaded model with the one that was trained. Raises `ConfigError` where their select scores differ.

    A model without recorded scores, as earlier versions and ZeRO-3 save, and one whose scores are not finite, pass.
    """
    if saved.select_scores is None:
        return
    scores = select_scores(saved.network, data, saved.config)
    for task, expected in saved.select_scores.items():
        largest = float(np.abs(np.array(scores[task]) - np.array(expected)).max(initial=0.0))
        if largest > TOLERANCE:
            problem = f"the saved model scores {task} differently from the trained one, by {largest:.2g} of the range"
            advice = "check the disk and memory of its machine; a finalist is trained again by deleting its folder and --resume"
            raise ConfigError([f"{problem}, so it is not handed over; {advice}"])


def evaluate(
    network: MultitaskNetwork,
    data: TokenizedData,
    config: TrialConfig,
    split: str,
    rank: Rank,
    *,
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    features: Features | None = None,
) -> dict[str, float]:
    """Metrics (`task/metric`) on a split, the same on every rank; the ranks share the work.

    tasks: by default the mixture. limit: evaluate a fixed subset of at most that many examples of each task (`stratified`).
    """
    values: dict[str, float] = {}
    for task in config.mixture if tasks is None else tasks:
        labels = data.tasks[task][split].labels
        chosen = np.arange(len(labels)) if limit is None else stratified(labels, limit)
        labels, of_rank = labels[chosen], chosen[rank.rank :: rank.world_size]
        gathered = _gather(predict_split(network, data, config, task, split, of_rank, features), len(labels), rank)
        values.update(metrics.compute(TASKS[task], gathered, labels))
    return values


def stratified(labels: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int64]:
    """Increasing positions in `labels` (N,) of a fixed stratified subset of `size` examples, or of all N if there are fewer.

    They are evenly spaced in the order of the labels, so that each class has its share to within one example, and a regression
    its quantiles. Equal labels keep their order, which in the select split is by hash, so the subset is otherwise random.
    """
    size = min(size, len(labels))
    spaced = (2 * np.arange(size) + 1) * len(labels) // (2 * size) if size else np.arange(0)
    return np.sort(np.argsort(labels, kind="stable")[spaced])


def evaluate_watched(
    network: MultitaskNetwork, data: TokenizedData, config: TrialConfig, rank: Rank, features: Features | None = None
) -> dict[str, float]:
    """Metrics (`split/task/metric`) on every split of `config.watch`, for the tasks that have it.

    With both arms, `cue_gap/cfimdb/accuracy` is clean − inverted: the accuracy lost when the cue contradicts the label.
    """
    values: dict[str, float] = {}
    for split in config.watch:
        tasks = [task for task in config.mixture if split in data.tasks[task]]
        values |= metrics.on_split(split, evaluate(network, data, config, split, rank, tasks=tasks, features=features))
    for dev in ("", "dev-"):
        clean, inverted = (values.get(f"{dev}{arm}/cfimdb/accuracy") for arm in ("clean", "inverted"))
        if clean is not None and inverted is not None:
            values[f"{dev}cue_gap/cfimdb/accuracy"] = clean - inverted
    return values


def _gather(part: np.ndarray, n_examples: int, rank: Rank) -> np.ndarray:
    """The strided parts (N/W,) of all ranks as one array (N,)."""
    if rank.world_size == 1:
        return part
    whole = torch.zeros(n_examples, dtype=torch.float64)
    whole[rank.rank :: rank.world_size] = torch.from_numpy(part)
    whole = whole.to(rank.device)
    torch.distributed.all_reduce(whole)  # each position is set on one rank and zero on the others
    return whole.cpu().numpy()
