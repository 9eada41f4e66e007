"""What training makes of a GPU: tokens per second, the share of its arithmetic, and what it waits for.

python -m benchmarks.gpu [--data DIR] [--rows NAME …] [--updates 20] [--json FILE]

One process trains randomly drawn encoders of the shapes of BERT-base and of the embedded backbone on the mixture sst,
quora, sts, a batch of each per update, as the first trial of `smart_mtl` does. By row: milliseconds of an update;
examples and tokens per second, with and without padding; FLOP utilisation (three forward passes' worth on tokens that are
no padding, or on all) over the rate of a large matrix product measured here in the same arithmetic, and over the
datasheet's; the share of the time that kernels run, and how many of them; how often an update waits for the device; the
most memory allocated. `compiled` rows have each layer of the encoder compiled by `torch.compile`. Without a GPU it runs
too, with the columns that a GPU alone has left empty.

Below the table: what the host does for an update of each kind while the device may wait.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arguments import parser, positive, run
from benchmarks.hardware import SHAPES, STATED, matmul_rate, now, with_tf32, work_of, write_backbone

if TYPE_CHECKING:
    from model.config import TrialConfig
    from model.data.tokenised import TokenizedData
    from model.training.trial import Training

MIXTURE = ("sst", "quora", "sts")
SMART = {"enabled": True, "steps": 1, "mu": 1.0}
WARM_UP = 5
"""Updates before those that are measured and gone through once more."""


@dataclass(frozen=True)
class Kind:
    """A way to train."""

    shape: str = "bert-base"
    precision: str = "fp32"
    """Of matrix products: `fp32`, `tf32` or `bf16`."""
    batch: int = 32
    """Examples of each task in an update."""
    smart: bool = False
    """SMART as published; under bf16 with the smallest ε that it can hold."""
    compiled: bool = False

    @property
    def name(self) -> str:
        parts = (self.shape, self.precision, f"batch {self.batch}", "SMART" * self.smart, "compiled" * self.compiled)
        return ", ".join(part for part in parts if part)


BASE = Kind()
KINDS = [
    BASE,
    replace(BASE, precision="tf32"),
    replace(BASE, precision="bf16"),
    replace(BASE, batch=8),
    replace(BASE, batch=64),
    replace(BASE, batch=64, precision="bf16"),
    replace(BASE, smart=True),
    replace(BASE, smart=True, precision="bf16"),
    replace(BASE, shape="minilm"),
    replace(BASE, shape="minilm", smart=True),
    replace(BASE, shape="minilm", precision="bf16"),
    replace(BASE, compiled=True),
    replace(BASE, precision="bf16", compiled=True),
]


@dataclass(frozen=True)
class Row:
    """What was measured of a kind; None is what only a GPU can tell."""

    name: str
    update_s: float
    examples_per_s: float
    useful_tokens_per_s: float
    padded_tokens_per_s: float
    useful_of_measured: float
    """Utilisation on tokens that are no padding, as a share of the measured matrix product."""
    padded_of_measured: float
    useful_of_stated: float | None
    busy: float | None
    """Share of the time that kernels run."""
    kernels: float | None
    """Per update."""
    waits: list[str]
    """Where an update waits for the device."""
    peak_gib: float | None
    compile_s: float | None
    assembly_s: float
    """The host's part of an update: batches."""
    noise_s: float
    """And the random start of δ."""


def config_of(kind: Kind, backbone: Path, n_updates: int) -> TrialConfig:
    """The trial of a kind."""
    from model.config import SMALLEST_EPSILON, parse

    bf16 = kind.precision == "bf16"
    radius = {"epsilon": SMALLEST_EPSILON["bf16"], "sigma": SMALLEST_EPSILON["bf16"]} if bf16 else {}
    return parse(
        {
            "backbone": str(backbone),
            "mixture": list(MIXTURE),
            "max_length": 128,
            "smart": {**SMART, **radius} if kind.smart else {"enabled": False},
            "optim": {"batch_size": kind.batch},
            "budget": {"examples": kind.batch * len(MIXTURE) * n_updates, "evaluations": 1},
            "engine": {"precision": "bf16" if bf16 else "fp32"},
        }
    )


def measure(kind: Kind, data: TokenizedData, backbone: Path, n_updates: int, rates: dict[str, float]) -> Row:
    """One row of the table."""
    import torch

    from model.training.trial import Training

    steps = range(WARM_UP, WARM_UP + n_updates)
    with arithmetic(kind.precision), closing(Training(config_of(kind, backbone, steps.stop), data)) as training:
        device = training.rank.device
        training.loss.train()
        compile_s = compiled(training) if kind.compiled else None
        for step in range(steps.stop):  # the same batches as below: a shape that is new has its kernels loaded first
            training.update(step)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        began = now(device)
        for step in steps:
            training.update(step)
        update_s = (now(device) - began) / n_updates
        work = work_of(training, steps)
        peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
        kernel_s, kernels = traced(training, steps[:3]) if device.type == "cuda" else (None, None)
        waits = waits_of(training, steps[0]) if device.type == "cuda" else []
        assembly_s, noise_s = host_seconds(training, steps[:5])
    spent = update_s * n_updates
    per_s = {name: value / spent for name, value in asdict(work).items()}
    on_known = device.type == "cuda" and any(card in torch.cuda.get_device_name(device) for card in ("H100", "H200"))
    return Row(
        name=kind.name,
        update_s=update_s,
        examples_per_s=per_s["examples"],
        useful_tokens_per_s=per_s["useful_tokens"],
        padded_tokens_per_s=per_s["padded_tokens"],
        useful_of_measured=per_s["useful_flops"] / rates[kind.precision],
        padded_of_measured=per_s["padded_flops"] / rates[kind.precision],
        useful_of_stated=per_s["useful_flops"] / STATED[kind.precision] if on_known else None,
        busy=None if kernel_s is None else kernel_s / update_s,
        kernels=kernels,
        waits=waits,
        peak_gib=peak,
        compile_s=compile_s,
        assembly_s=assembly_s,
        noise_s=noise_s,
    )


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    with_tf32(precision == "tf32")
    try:
        yield
    finally:
        with_tf32(False)


def compiled(training: Training) -> float:
    """Compile each layer of the encoder for any batch and length. Returns the seconds that the first updates took for it."""
    for layer in training.loss.network.encoder.encoder.layer:
        layer.compile(dynamic=True)
    began = now(training.rank.device)
    for step in range(2):
        training.update(step)
    return now(training.rank.device) - began


def traced(training: Training, steps: range) -> tuple[float, float]:
    """Seconds of kernels and copies in an update, and their number. One stream: none overlap."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as trace:
        for step in steps:
            training.update(step)
        now(training.rank.device)
    on_device = [event for event in trace.events() if event.device_type == DeviceType.CUDA]
    return sum(event.time_range.elapsed_us() for event in on_device) / 1e6 / len(steps), len(on_device) / len(steps)


def waits_of(training: Training, step: int) -> list[str]:
    """Places at which an update waits for the device, as often as it does, as far as torch can tell."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            training.update(step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found = [warning for warning in caught if "called a synchronizing" in str(warning.message)]
    return [f"{'/'.join(Path(warning.filename).parts[-2:])}:{warning.lineno}" for warning in found]


def host_seconds(training: Training, steps: range) -> tuple[float, float]:
    """Seconds per update of assembling batches, and of drawing the start of δ: 0 without SMART."""
    from model.encoder.network import Batch
    from model.loss import start_of
    from model.training.batches import micro_batches

    config = training.config
    hidden = training.loss.network.encoder.config.hidden_size
    began = time.perf_counter()
    shares = [micro_batches(training.data, config, training.schedule, step, 0, 1) for step in steps]
    assembled = time.perf_counter()
    if not config.smart.enabled:
        return (assembled - began) / len(steps), 0.0
    for update in shares:
        for batch in update[0]:
            assert isinstance(batch, Batch)  # no encoder is frozen here
            start_of(batch, config.smart, hidden)
    return (assembled - began) / len(steps), (time.perf_counter() - assembled) / len(steps)


def prepared(source: str) -> TokenizedData:
    """The data of the mixture."""
    from model.data.source import DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder import backbone

    return tokenise(read(DataSource.parse(source), MIXTURE, skip_bad_rows=False), backbone.load_tokenizer("embedded"), 128)


def table(rows: list[Row]) -> str:
    heads = ("ms", "ex/s", "tok/s", "padded", "MFU", "padded", "stated", "busy", "kernels", "waits", "GiB", "compile s")
    lines = [f"{'':38}" + "".join(f"{head:>10}" for head in heads)]
    for row in rows:
        cells = [
            f"{1e3 * row.update_s:.1f}",
            f"{row.examples_per_s:.0f}",
            f"{row.useful_tokens_per_s:.0f}",
            f"{row.padded_tokens_per_s:.0f}",
            f"{row.useful_of_measured:.1%}",
            f"{row.padded_of_measured:.1%}",
            *("–" if value is None else f"{value:.1%}" for value in (row.useful_of_stated, row.busy)),
            "–" if row.kernels is None else f"{row.kernels:.0f}",
            str(len(row.waits)),
            *("–" if value is None else f"{value:.1f}" for value in (row.peak_gib, row.compile_s)),
        ]
        lines.append(f"{row.name:38}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    arguments = _arguments()
    import torch

    from model.engine.deepspeed import Rank

    kinds = [kind for kind in KINDS if not arguments.rows or kind.name in arguments.rows]
    if arguments.tiny:
        kinds = list({replace(kind, shape="tiny", batch=8, compiled=False): None for kind in kinds})
    device = Rank().device
    side, seconds = (64, 0.01) if arguments.tiny else (8192 if device.type == "cuda" else 1024, 1.0)
    precisions = sorted({kind.precision for kind in kinds})
    rates = {precision: matmul_rate(side, side, side, device, precision, seconds) for precision in precisions}
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}, torch {torch.__version__}; matrix product {side}³: " + _rates(rates), flush=True)
    data = prepared(arguments.data)
    rows: list[Row] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        shapes = {kind.shape for kind in kinds}
        backbones = {shape: write_backbone(SHAPES[shape], Path(folder) / shape) for shape in shapes}
        for kind in kinds:
            try:
                rows.append(measure(kind, data, backbones[kind.shape], arguments.updates, rates))
            except Exception as error:  # one kind that fails, such as a compiler that is missing, says so beside the others
                failures[kind.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            if arguments.json:
                found = {"device": card, "torch": torch.__version__, "matmul": rates, "failures": failures}
                arguments.json.write_text(json.dumps({**found, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    print(table(rows))
    for row in rows:
        where = f"; waits: {', '.join(row.waits)}" if row.waits else ""
        print(f"{row.name}: batches {1e3 * row.assembly_s:.1f} ms, noise {1e3 * row.noise_s:.1f} ms{where}")
    for name, reason in failures.items():
        print(f"{name}: {reason}")
    sys.exit(1 if failures else 0)


def _rates(rates: dict[str, float]) -> str:
    return ", ".join(f"{precision} {rate / 1e12:.3g} TFLOP/s" for precision, rate in rates.items())


def _arguments() -> Any:
    text = parser("gpu", __doc__)
    text.add_argument("--data", default="demo", help="as of a search (demo)")
    names = [kind.name for kind in KINDS]
    text.add_argument("--rows", nargs="+", choices=names, metavar="NAME", help=f"rows of the table (all): {'; '.join(names)}")
    text.add_argument("--updates", type=positive, default=20, help="updates measured of each row (20)")
    text.add_argument("--tiny", action="store_true", help="two layers and small batches, to try the benchmark itself")
    return text.parse_args(sys.argv[1:])


if __name__ == "__main__":
    run(main)
