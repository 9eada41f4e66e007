"""What single operations of a search cost, for docs/scaling.md.

    python -m benchmarks.operations study --storage journal --trials 2000      # or memory, sqlite, postgresql://...
    python -m benchmarks.operations mlflow                                     # or --tracking-uri http://... --writers 4
    python -m benchmarks.operations checkpoint --backbone embedded             # bytes, not seconds; or a folder

`study` plays a search on generated curves through the real storage and prints the seconds on the wall of an ask (with what it
writes) and of a report, by the number of trials that the study has. `mlflow` writes batches of 10 metrics to runs of their own.
`checkpoint` trains one step and weighs what a checkpoint and a handed-over model take on disk.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import driver

STORAGES = {"memory": "memory:", "journal": "journal:{folder}/study.journal", "sqlite": "sqlite:///{folder}/study.db"}


def study(storage: str, n_trials: int, n_slots: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = STORAGES.get(storage, storage).format(folder=folder)
        timed, seconds = driver.measure("tpe", "median", n_trials, n_slots, url, time.perf_counter)
        weight = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    kind = storage if storage in STORAGES else storage.partition("://")[0]
    print(f"{kind}, tpe+median, {n_slots} slots: {seconds:.0f} s on the wall, {weight:,} bytes on disk")
    Console().print(driver.table(timed, n_trials))


def _batches(uri: str, experiment: str, n_batches: int, seconds: list[float]) -> None:
    """Write to one run; several threads may do so, as several searches do."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(uri)
    run = client.create_run(experiment).info.run_id
    for step in range(n_batches):
        metrics = [Metric(f"metric_{index}", float(step), 1000 * step, step) for index in range(10)]
        began = time.perf_counter()
        client.log_batch(run, metrics=metrics)
        seconds.append(time.perf_counter() - began)


def mlflow(uri: str | None, n_batches: int, n_writers: int) -> None:
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        uri = uri or f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(uri)
        name = f"operations-{time.time_ns()}"
        place = {} if uri.startswith("http") else {"artifact_location": Path(folder, "artifacts").as_uri()}
        experiment = client.create_experiment(name, **place)
        seconds: list[float] = []
        arguments = (uri, experiment, n_batches, seconds)
        writers = [threading.Thread(target=_batches, args=arguments) for _ in range(n_writers)]
        began = time.perf_counter()
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        rate = len(seconds) / (time.perf_counter() - began)
    print(
        f"{uri.partition(':')[0]}, {n_writers} writer(s), {len(seconds)} batches of 10 metrics: "
        f"median {1e3 * statistics.median(seconds):.1f} ms, worst {1e3 * max(seconds):.1f} ms, {rate:.1f} batches/s"
    )


def weight_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def checkpoint(backbone: str, momentum: float) -> None:
    """`momentum` is μ, the weight of the teacher's term: above 0 there is a teacher, whose weights are saved too."""
    from model.config import parse
    from model.data.source import DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder.backbone import load_tokenizer
    from model.training.trial import Training

    smart = {"enabled": momentum > 0, "mu": momentum}
    budget = {"examples": 24, "evaluations": 1}
    config = parse(
        {"backbone": backbone, "mixture": ["sst", "quora", "sts"], "max_length": 16, "smart": smart, "budget": budget}
        | {"optim": {"batch_size": 8}}
    )
    found = read(DataSource.parse("demo"), config.mixture, skip_bad_rows=False)
    training = Training(config, tokenise(found, load_tokenizer(backbone), config.max_length))
    with tempfile.TemporaryDirectory() as name:
        training.advance()  # AdamW has no moments before its first step
        training.save(Path(name, "checkpoint"))
        training.export(Path(name, "model"), {})
        weights = {kind: weight_of(Path(name, kind)) for kind in ("checkpoint", "model")}
    training.close()
    with_teacher = "with" if momentum > 0 else "without"
    print(f"{backbone}, {with_teacher} a teacher: checkpoint {weights['checkpoint']:,} bytes, model {weights['model']:,} bytes")


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m benchmarks.operations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = text.add_subparsers(dest="what", required=True)
    asked = what.add_parser("study")
    asked.add_argument("--storage", default="journal", help="memory, journal, sqlite, or the URL of an empty database")
    asked.add_argument("--trials", type=int, default=2000)
    asked.add_argument("--slots", type=int, default=200)
    logged = what.add_parser("mlflow")
    logged.add_argument("--tracking-uri", help="a server or database (a SQLite file of its own)")
    logged.add_argument("--batches", type=int, default=200, help="per writer")
    logged.add_argument("--writers", type=int, default=1)
    saved = what.add_parser("checkpoint")
    saved.add_argument("--backbone", default="embedded")
    saved.add_argument("--mu", type=float, default=0.0, help="weight of the teacher's term; above 0 there is a teacher")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.what == "study":
        study(options.storage, options.trials, options.slots)
    elif options.what == "mlflow":
        mlflow(options.tracking_uri, options.batches, options.writers)
    else:
        checkpoint(options.backbone, options.mu)
    return 0


if __name__ == "__main__":
    sys.exit(main())
