"""What trials that share a GPU gain together: `python -m benchmarks.sharing [--data DIR] [--trials 1 2 4 8] [--json FILE]`.

As many processes as the largest number start once and train one kind of trial after the other: the mixture sst, quora,
sts at batch 32, float32, plain and with SMART as published, on the shapes of BERT-base and of the embedded backbone. In
each round the first n of them train the same kind of trial for some seconds, the others wait. Printed: examples per
second of all together, how much that is of one alone, and an update's milliseconds in each. What does not fit into the
device's memory is said, and the rest goes on.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arguments import parser, positive, run
from benchmarks.gpu import BASE, WARM_UP, Kind, config_of, prepared
from benchmarks.hardware import SHAPES, now, write_backbone

if TYPE_CHECKING:
    from model.config import TrialConfig
    from model.data.tokenised import TokenizedData

KINDS = [replace(BASE, shape=shape, smart=smart) for shape in ("bert-base", "minilm") for smart in (False, True)]
UPDATES = 4000
"""Planned for a trial: more than a round takes. Its batches repeat after that."""


@dataclass(frozen=True)
class Row:
    """A kind of trial, so many at once."""

    kind: str
    trials: int
    examples_per_s: float
    """All together."""
    gain: float | None
    """Over one trial alone, where one alone was measured."""
    update_s: float
    """In one of them, on average."""


def rows(rounds: dict[tuple[str, int], list[tuple[int, float]]], examples: dict[str, int]) -> list[Row]:
    """The table, from what each trial of a round did: updates and seconds. `examples` are those of an update, by kind."""
    rates = {(kind, n): sum(examples[kind] * updates / s for updates, s in done) for (kind, n), done in rounds.items()}
    found = []
    for (kind, trials), done in rounds.items():
        update_s = sum(seconds / updates for updates, seconds in done) / len(done)
        gain = rates[kind, trials] / rates[kind, 1] if (kind, 1) in rates else None
        found.append(Row(kind, trials, rates[kind, trials], gain, update_s))
    return found


def serve(pipe: Connection, kinds: list[Kind], backbones: dict[str, Path], source: str, n_threads: int) -> None:
    """A process: sets up a trial of each kind, then trains the kind it is told for the seconds it is told.

    It answers None, from the set-up on, to all that is asked of a kind that it has no memory for.
    """
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    import torch

    from model.engine.errors import is_out_of_memory

    torch.set_num_threads(n_threads)
    data = prepared(source)
    for kind in kinds:
        fits = True
        try:
            attend(pipe, config_of(kind, backbones[kind.shape], UPDATES), data)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not fits:
            pipe.send(None)
            while pipe.recv() is not None:
                pipe.send(None)


def attend(pipe: Connection, config: TrialConfig, data: TokenizedData) -> None:
    """Set a trial up, say so, and train it whenever told to, until told None."""
    from model.training.trial import Training

    with closing(Training(config, data)) as training:
        training.loss.train()
        for step in range(WARM_UP):
            training.update(step)
        pipe.send("ready")
        while (seconds := pipe.recv()) is not None:
            pipe.send(train(training, seconds))


def train(training: Any, seconds: float) -> tuple[int, float]:
    """Updates until the time is up, and the seconds that they took."""
    began, step = now(training.rank.device), WARM_UP
    while (passed := now(training.rank.device) - began) < seconds:
        for _ in range(5):
            training.update(step % UPDATES)
            step += 1
    return step - WARM_UP, passed


def rounds_of(pipes: list[Connection], sizes: list[int], seconds: float) -> dict[int, list[tuple[int, float]]]:
    """Updates and seconds of each trial of a round, by how many trained in it: `sizes`, increasing, while memory lasts."""
    ready = [pipe for pipe in pipes if pipe.recv() is not None]
    rounds: dict[int, list[tuple[int, float]]] = {}
    for size in sizes:
        if size > len(ready):
            break
        for pipe in ready[:size]:
            pipe.send(seconds)
        answers = [pipe.recv() for pipe in ready[:size]]
        if None in answers:
            break
        rounds[size] = answers
    for pipe in pipes:
        pipe.send(None)
    return rounds


def lines(measured: list[Row]) -> str:
    """Rows of the table as text."""
    gains = ["–" if row.gain is None else f"{row.gain:.2f}" for row in measured]
    return "\n".join(
        f"{row.kind:32}{row.trials:8}{row.examples_per_s:10.0f}{gain:>8}{1e3 * row.update_s:10.1f}"
        for row, gain in zip(measured, gains, strict=True)
    )


def main() -> None:
    arguments = _arguments()
    kinds = [kind for kind in KINDS if not arguments.kinds or kind.name in arguments.kinds]
    if arguments.tiny:
        kinds = list({replace(kind, shape="tiny"): None for kind in kinds})
    n_threads = max(1, (os.cpu_count() or 1) // max(arguments.trials))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        shapes = {kind.shape for kind in kinds}
        backbones = {shape: write_backbone(SHAPES[shape], Path(folder) / shape) for shape in shapes}
        pipes, processes = [], []
        for _ in range(max(arguments.trials)):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, kinds, backbones, arguments.data, n_threads), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        print(f"{os.cpu_count()} cores, {n_threads} threads a trial, {arguments.seconds:g} s a round")
        print(f"{'':32}{'trials':>8}{'ex/s':>10}{'gain':>8}{'ms':>10}")
        found: list[Row] = []
        for kind in kinds:
            rounds = rounds_of(pipes, sorted(arguments.trials), arguments.seconds)
            measured = rows({(kind.name, n): done for n, done in rounds.items()}, {kind.name: 3 * kind.batch})
            found += measured
            if measured:
                print(lines(measured), flush=True)
            for n in sorted(set(arguments.trials) - set(rounds)):
                print(f"{kind.name:32}{n:8}  out of memory", flush=True)
        for process in processes:
            process.join()
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in found], indent=2) + "\n")


def _arguments() -> Any:
    text = parser("sharing", __doc__)
    text.add_argument("--data", default="demo", help="as of a search (demo)")
    text.add_argument(
        "--trials", type=positive, nargs="+", default=[1, 2, 4, 8], help="trials at once, round by round (1 2 4 8)"
    )
    names = [kind.name for kind in KINDS]
    text.add_argument("--kinds", nargs="+", choices=names, metavar="NAME", help=f"what is trained (all): {'; '.join(names)}")
    text.add_argument("--seconds", type=float, default=3.0, help="of a round (3)")
    text.add_argument("--tiny", action="store_true", help="two layers, to try the benchmark itself")
    return text.parse_args(sys.argv[1:])


if __name__ == "__main__":
    run(main)
