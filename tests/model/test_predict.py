"""`python -m model.predict`: predictions, and messages instead of tracebacks."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model import predict
from model.encoder.network import build
from model.predict import main
from model.saved_model import folder as saved_model
from model.tasks import TASKS
from model.training.batches import make_batch
from tests.support import tiny

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture(scope="module")
def folder(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with large head weights, centred on dev, so that predictions differ between texts."""
    config = tiny.config(tiny_backbone, mixture=["sst", "quora", "sts"], pair_encoding="concat_pooled")
    network = build(config)
    network.eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for task, head in network.heads.items():
            torch.nn.init.normal_(head.weight, std=3.0, generator=generator)
            batch = make_batch(tiny.data(), config, task, "dev", np.arange(24))
            head.bias -= network(batch, network.embed(batch.input_ids)).mean(0)
    where = tmp_path_factory.mktemp("predict") / "model"
    saved_model.write(where, network, config, {"sst/accuracy": 0.5}, tiny.data().summary)
    return where


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line; exit status, lines of output, error output."""

    def call(*arguments: str, model: Path = folder, stdin: bytes = b"") -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main(["--model", str(model), *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out.splitlines(), captured.err.strip()

    return call


def dev(task: str, n: int = 24) -> list[tuple[str, ...]]:
    return [example.texts for example in tiny.dataset().tasks[task]["dev"][:n]]


def test_classes_have_the_softmax_of_the_logits(folder: Path) -> None:
    model = saved_model.read(folder)
    for task in ("sst", "quora"):
        found = predict.predict(model, task, dev(task))
        batch = make_batch(tiny.data(), model.config, task, "dev", np.arange(24))
        with torch.no_grad():
            probabilities = torch.softmax(model.network(batch, model.network.embed(batch.input_ids)), -1)
        names = [TASKS[task].label_names[int(best)] for best in probabilities.argmax(-1)]
        assert [each.label for each in found] == names
        assert len(set(names)) > 1
        np.testing.assert_allclose([each.score for each in found], probabilities.amax(-1), atol=1e-5)


def test_a_regression_gives_its_value_inside_the_scale(folder: Path) -> None:
    model = saved_model.read(folder)
    found = predict.predict(model, "sts", dev("sts"))
    batch = make_batch(tiny.data(), model.config, "sts", "dev", np.arange(24))
    with torch.no_grad():
        values = model.network(batch, model.network.embed(batch.input_ids))[:, 0].clamp(0, 5)
    np.testing.assert_allclose([each.score for each in found], values, atol=1e-5)
    assert [each.label for each in found] == [f"{each.score:.2f}" for each in found]


def test_one_text(run: Run) -> None:
    status, lines, error = run("--task", "sst", "A film of rare warmth.")
    assert (status, error) == (0, "")
    (line,) = lines
    label, probability = line.split("\t")
    assert label in TASKS["sst"].label_names
    assert 1 / 5 <= float(probability) <= 1


def test_a_pair(run: Run) -> None:
    status, lines, _ = run("--task", "sts", "A man plays.", "A woman sings.")
    assert status == 0
    label, value = lines[0].split("\t")
    assert float(label) == pytest.approx(float(value), abs=0.005)
    assert 0 <= float(value) <= 5


def test_lines_of_input_are_answered_one_by_one_in_order(run: Run) -> None:
    """More lines than a batch has, with either line end; each prediction equals that of the line alone."""
    texts = [text for (text,) in dev("sst")] * 3
    status, lines, _ = run("--task", "sst", "-", stdin="\r\n".join(texts).encode())
    assert status == 0
    assert lines[:24] == lines[24:48] == lines[48:]
    assert [run("--task", "sst", text)[1] for text in texts[:3]] == [[line] for line in lines[:3]]


def test_pairs_of_input_are_separated_by_a_tab(run: Run) -> None:
    pairs = dev("quora", 5)
    status, lines, _ = run("--task", "quora", "-", stdin="".join(f"{a}\t{b}\n" for a, b in pairs).encode())
    assert status == 0
    assert lines == [run("--task", "quora", a, b)[1][0] for a, b in pairs]


def test_no_lines_give_no_predictions(run: Run) -> None:
    assert run("--task", "sst", "-", stdin=b"") == (0, [], "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "facts"),
    [
        (["--task", "sts", "one"], b"", ["sts", "two texts", "given 1", "quotes"]),
        (["--task", "sst", "two", "words"], b"", ["sst", "one text", "given 2", "quotes"]),
        (["--task", "sst", " "], b"", ["sst", "empty"]),
        (["--task", "stss", "text"], b"", ["stss (did you mean sts?)", "sst, quora, sts, cfimdb"]),
        (["--task", "cfimdb", "text"], b"", ["cfimdb", "sst, quora, sts"]),
        (["--task", "sts", "-"], b"a\tb\nno tab\n", ["line 2", "1 text(s)", "sts", "two", "tab"]),
        (["--task", "sts", "-"], b"a\tb\tc\n", ["line 1", "3 text(s)", "sts", "two", "tab"]),
        (["--task", "sst", "-"], b"fine\n\nfine\n", ["line 2", "empty", "sst"]),
        (["--task", "sst", "-"], b"fine\ncaf\xe9\n", ["line 2", "UTF-8"]),
    ],
)
def test_wrong_input_gets_a_message(run: Run, arguments: list[str], stdin: bytes, facts: list[str]) -> None:
    status, lines, error = run(*arguments, stdin=stdin)
    assert (status, lines, len(error.splitlines())) == (2, [], 1)
    assert [fact for fact in facts if fact not in error] == [], error


def test_a_folder_without_a_model(run: Run, tmp_path: Path) -> None:
    status, lines, error = run("--task", "sst", "text", model=tmp_path)
    assert (status, lines) == (2, [])
    for fact in (str(tmp_path), "config.yaml", "model.safetensors", "encoder"):
        assert fact in error


@pytest.mark.slow
def test_as_a_command(folder: Path) -> None:
    """The process prints the prediction and nothing else."""
    command = [sys.executable, "-m", "model.predict", "--model", str(folder), "--task", "sst", "A film of rare warmth."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
