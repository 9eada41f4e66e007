"""The training of a trial on one rank: train to the next evaluation and evaluate, repeatedly; save, resume and export."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model import mixing
from model.config import ConfigError, TrialConfig
from model.data.tokenised import TokenizedData
from model.encoder import backbone
from model.encoder.network import Features, batch_to, build
from model.engine.config import micro_batch
from model.engine.deepspeed import Engine, Rank, join
from model.engine.schedules import lambda_factor
from model.loss import MultitaskLoss
from model.saved_model import folder as saved_model
from model.smart.config import cost_in_plain_steps
from model.training import features, health, seeds
from model.training.batches import make_batch, mean_tokens, micro_batches, row_lengths
from model.training.evaluate import evaluate, evaluate_watched, select_scores
from model.training.evaluation import Evaluation, Failure, Rehearsal

TEACHER_FILE = "teacher.safetensors"
REHEARSED = 64
"""Examples of each task that a rehearsal evaluates."""
FeaturesOf = Callable[[str, Callable[[], features.TaskFeatures]], features.TaskFeatures]


class Training:
    """One rank's training of a trial. Iterating yields an `Evaluation` at each evaluation point, or a `Failure` as the last."""

    def __init__(
        self,
        config: TrialConfig,
        data: TokenizedData,
        rank: Rank | None = None,
        features_of: FeaturesOf = lambda task, compute: compute(),
    ) -> None:
        """`features_of(task, compute)` returns the features that `compute()` would, such as from a cache; for a frozen encoder.

        Raises `ConfigError` if ranks, data or backbone do not fit the configuration.
        """
        self.config = config
        self.data = data
        self.rank = rank or Rank()
        problems = config.gang_problems(self.rank.world_size)
        if problems:
            raise ConfigError(problems)
        sizes = {task: len(data.tasks[task]["train"]) for task in config.mixture}
        batch_size = config.optim.batch_size
        self.n_steps = mixing.n_steps(config.budget, config.mixing, sizes, batch_size)
        self.evaluation_steps = mixing.evaluation_steps(self.n_steps, config.budget.evaluations)
        self.schedule = mixing.Schedule(
            config.mixing,
            sizes,
            batch_size,
            config.seed,
            self.n_steps,
            lengths={task: row_lengths(data, config, task, "train") for task in sizes},
        )
        self._cost_per_example = {
            task: mean_tokens(data, config, task) * cost_in_plain_steps(config.smart) for task in config.mixture
        }
        join(self.rank)
        network = build(config)
        problems = backbone.size_problems(network.encoder, max_length=config.max_length, vocab_size=data.vocab_size)
        if problems:
            raise ConfigError(problems)
        self.loss = MultitaskLoss(network, config).to(self.rank.device)
        if self.loss.teacher is not None:
            self.loss.teacher.network.to(self.rank.device)
        self.features: Features | None = None
        if features.reads_features(config):
            network.to(self.rank.device)
            self.features = {
                task: features_of(task, partial(features.compute, network, data, config, task)) for task in config.mixture
            }
        self.engine = Engine(self.loss, self.rank, self.n_steps)
        self.step = 0
        self.n_evaluations = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Evaluation | Failure]:
        """Evaluations from the current step to the end."""
        while self.step < self.n_steps:
            outcome = self.advance()
            yield outcome
            if isinstance(outcome, Failure):
                return

    def advance(self) -> Evaluation | Failure:
        """Train to the next evaluation point and evaluate."""
        began = time.perf_counter()
        first, target = self.step, self.evaluation_steps[self.n_evaluations]
        losses = self._train_to(target)
        between = f"between steps {first + 1} and {target}"
        for name, value in losses.items():
            if not math.isfinite(value):
                return Failure(f"{name} became {value} {between}", target)
        if self.engine.n_skipped:
            return Failure(f"a gradient was not finite {between}", target)
        trained, trained_at = time.perf_counter(), time.time()
        index = self.n_evaluations + 1
        is_last = index == len(self.evaluation_steps)
        limit = None if is_last else self.config.budget.early_eval_examples
        metrics = evaluate(self.loss.network, self.data, self.config, "select", self.rank, limit=limit, features=self.features)
        metrics |= evaluate_watched(self.loss.network, self.data, self.config, self.rank, self.features)
        for name, value in metrics.items():
            if not math.isfinite(value):
                return Failure(f"{name} is {value} at step {target}: the outputs of the network are not finite", target)
        health_values = self.measure_health()
        self.n_evaluations = index
        ended = time.perf_counter()
        self.seconds += ended - began
        return Evaluation(
            index=index,
            n_evaluations=len(self.evaluation_steps),
            step=self.step,
            n_steps=self.n_steps,
            examples=self.schedule.examples_before(self.step),
            metrics=metrics,
            losses=losses,
            seconds=self.seconds,
            health=health_values,
            compute=self.compute,
            evaluation_s=ended - trained,
            trained_at=trained_at,
        )

    @property
    def compute(self) -> float:
        """Training so far in tokens of plain steps; a function of the step, so that it continues in a resumed trial."""
        examples = self.schedule.examples_by_task(self.step)
        return sum(n * self._cost_per_example[task] for task, n in examples.items())

    def _train_to(self, target: int) -> dict[str, float]:
        """Train up to step `target`. Returns the mean of each loss term over updates and ranks."""
        totals: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        self.loss.train()
        while self.step < target:
            for name, value in self.update(self.step).items():
                totals[name] = totals.get(name, 0) + value
                counts[name] = counts.get(name, 0) + 1
            self.step += 1
        names = sorted(totals)
        means = torch.stack([totals[name].float() / counts[name] for name in names])
        if self.rank.world_size > 1:
            torch.distributed.all_reduce(means)
            means /= self.rank.world_size
        return dict(zip(names, means.tolist(), strict=True))

    def measure_health(self) -> dict[str, float]:
        """The regulariser's health on a few examples of each task with R_s; the same on every rank."""
        config = self.config
        tasks = [task for task in config.mixture if config.smart.smooths(task)]
        if not tasks or config.engine.zero_stage == 3:  # ZeRO-3 gradients exist only within the engine
            return {}
        trained = self.schedule.examples_before(self.n_steps) / (len(config.mixture) * config.budget.evaluations)
        size = health.n_examples(trained, config.optim.batch_size // (self.rank.world_size * config.optim.accumulation))
        chosen = {task: health.spread(len(self.data.tasks[task]["train"]), size) for task in tasks}
        batches = [make_batch(self.data, config, task, "train", indices) for task, indices in chosen.items()]
        on_device = [batch_to(batch, self.rank.device) for batch in batches]
        seed = int(seeds.mix(config.seed, seeds.HEALTH, self.step))
        return health.measure(self.loss, on_device, seed, lambda_factor(config.smart, self.step - 1, self.n_steps))

    def update(self, step: int) -> dict[str, Tensor]:
        """The update of a step, whose number determines its randomness. Returns this rank's mean loss terms."""
        rank, config = self.rank, self.config
        shares = micro_batches(self.data, config, self.schedule, step, rank.rank, rank.world_size, self.features)
        on_device = [[batch_to(batch, rank.device) for batch in share] for share in shares]
        terms = self.engine.update(step, on_device, self._dropout_seeds(step))
        if self.loss.teacher is not None:
            with self.engine.whole_weights():
                self.loss.teacher.update(self.loss.network, config.smart.teacher_beta(step, self.n_steps))
        return terms

    def _dropout_seeds(self, step: int) -> list[int]:
        """A seed for each micro-batch of a step on this rank."""
        config, rank = self.config, self.rank.rank
        return [int(seeds.mix(config.seed, seeds.DROPOUT, step, rank, share)) for share in range(config.optim.accumulation)]

    def rehearse(self, n_updates: int) -> Rehearsal:
        """Train `n_updates` further updates and evaluate once. All ranks must call it; the trial cannot go on afterwards."""
        self.loss.train()
        lap, updates = health.stopwatch(self.rank.device), []
        for _ in range(n_updates):
            lap()
            self.update(self.step % self.n_steps)
            self.step += 1
            updates.append(lap())
        lap()
        evaluate(self.loss.network, self.data, self.config, "select", self.rank, limit=REHEARSED)
        evaluation_s = lap()
        self.measure_health()
        n_examples = sum(min(REHEARSED, len(self.data.tasks[task]["select"])) for task in self.config.mixture)
        return Rehearsal(float(np.median(updates)), evaluation_s / n_examples, lap())

    def heaviest_update(self) -> None:
        """One update from the longest training examples of each task that a step may train together.

        Raises the allocator's error if there is too little memory.
        """
        config, rank = self.config, self.rank
        lengths = {task: row_lengths(self.data, config, task, "train") for task in config.mixture}
        together = config.mixture
        if not config.mixing.trains_all_tasks:
            sides = {task: self.loss.network.sides(task) for task in together}
            together = (max(together, key=lambda task: int(lengths[task].max()) * sides[task]),)
        size = micro_batch(config, rank.world_size)
        longest = {task: np.argsort(lengths[task], kind="stable")[-size:] for task in together}
        batches = [batch_to(make_batch(self.data, config, task, "train", rows), rank.device) for task, rows in longest.items()]
        self.loss.train()
        self.engine.update(0, [batches] * config.optim.accumulation, self._dropout_seeds(0))

    def save(self, folder: Path) -> None:
        """Write a checkpoint from which `load` continues bit for bit. All ranks must call it.

        Batches, noise and dropout are functions of the step, so they have no other state.
        """
        state = {"step": self.step, "n_evaluations": self.n_evaluations, "seconds": self.seconds}
        self.engine.save(folder, state)
        if self.loss.teacher is not None and self.rank.rank == 0:
            save_file(self.loss.teacher.network.state_dict(), folder / TEACHER_FILE)
        if self.rank.world_size > 1:
            torch.distributed.barrier()  # when a rank returns, the checkpoint is complete

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint of `save`, with the same number of ranks."""
        state: dict[str, Any] = self.engine.load(folder)
        self.step = state["step"]
        self.n_evaluations = state["n_evaluations"]
        self.seconds = state["seconds"]
        if self.loss.teacher is not None:
            self.loss.teacher.network.load_state_dict(load_file(folder / TEACHER_FILE))

    def export(self, folder: Path, metrics: dict[str, float]) -> None:
        """Save the model: weights, tokenizer and configuration. All ranks must call it, rank 0 writes."""
        with self.engine.whole_weights():
            if self.rank.rank == 0:
                network, config = self.loss.network, self.config
                # ZeRO-3 would gather the weights again in the pass, on all ranks
                scores = select_scores(network, self.data, config) if config.engine.zero_stage < 3 else None
                saved_model.write(folder, network, config, metrics, self.data.summary, scores)

    def close(self) -> None:
        """Free the memory; the process group stays."""
        self.engine.close()
