"""`python -m model.train`: training from files, evaluating a saved model, and its error messages."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

from model.config import ConfigError
from model.data import demo
from model.data.source import DataSource, inspect, read
from model.data.tokenised import tokenise
from model.saved_model import folder as saved_model
from model.train import main
from model.training.evaluate import check_select_scores

Run = Callable[..., tuple[int, list[str], str]]
MIXTURE = ["sst", "sts"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus as files, the first rows of each."""
    folder = tmp_path_factory.mktemp("data")
    assert demo.main(["--out", str(folder)]) == 0
    for path in folder.iterdir():
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:151]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(tiny_backbone: Path) -> dict[str, object]:
    return {
        "backbone": str(tiny_backbone),
        "mixture": MIXTURE,
        "max_length": 32,
        "optim": {"lr": "1e-3", "batch_size": 16},
        "budget": {"examples": 128, "evaluations": 2},
    }


@pytest.fixture(scope="module")
def trained(settings: dict[str, object], data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A model trained by the command, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "trial.yaml").write_text(yaml.safe_dump(settings))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["--config", str(folder / "trial.yaml"), "--data", str(data), "--out", str(folder / "model")]) == 0
    return folder / "model", out.getvalue().splitlines()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line; exit status, lines of output, error output."""

    def call(*arguments: str | Path) -> tuple[int, list[str], str]:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out.splitlines(), captured.err.strip()

    return call


def test_training_prints_an_evaluation_a_line_and_nothing_else(trained: tuple[Path, list[str]]) -> None:
    model, lines = trained
    evaluations = [json.loads(line) for line in lines]
    assert [(each["index"], each["step"], each["examples"]) for each in evaluations] == [(1, 2, 64), (2, 4, 128)]
    assert saved_model.read(model).metrics == evaluations[-1]["metrics"]


@pytest.mark.slow
def test_as_a_command(trained: tuple[Path, list[str]], data: Path, tmp_path: Path) -> None:
    """The process prints the evaluations and nothing else, also on stderr."""
    model, lines = trained
    command = [sys.executable, "-m", "model.train", "--config", str(model.parent / "trial.yaml"), "--data", str(data)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "model")], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(lines)
    assert saved_model.read(tmp_path / "model").metrics == saved_model.read(model).metrics


def test_evaluate_only_reproduces_the_record(trained: tuple[Path, list[str]], data: Path, run: Run) -> None:
    model, _ = trained
    status, lines, error = run("--evaluate-only", "--model", model, "--data", data)
    assert (status, error) == (0, "")
    found = json.loads(lines[0])
    assert found["split"] == "select"
    assert found["metrics"] == pytest.approx(saved_model.read(model).metrics, abs=1e-6)


def test_dev_is_another_split(trained: tuple[Path, list[str]], data: Path, run: Run) -> None:
    model, _ = trained
    status, lines, _ = run("--evaluate-only", "--model", model, "--data", data, "--split", "dev")
    assert status == 0
    found = json.loads(lines[0])
    assert found["split"] == "dev"
    assert found["metrics"] != saved_model.read(model).metrics


def test_the_record_holds_for_a_search_that_read_more_tasks(
    trained: tuple[Path, list[str]], data: Path, tmp_path: Path, run: Run
) -> None:
    """A champion of two tasks from a search over four tasks: the data of its tasks is the same, so a difference is an error."""
    model = Path(shutil.copytree(trained[0], tmp_path / "model"))
    record = yaml.safe_load((model / "config.yaml").read_text())
    whole = inspect(DataSource.parse(str(data)), ["sst", "quora", "sts", "cfimdb"])
    assert whole.sha256 != saved_model.read(model).data.sha256
    record["data"] = dataclasses.asdict(whole)
    (model / "config.yaml").write_text(yaml.safe_dump(record))
    assert run("--evaluate-only", "--model", model, "--data", data)[0::2] == (0, "")
    tamper(model, "heads.sts.bias")
    assert run("--evaluate-only", "--model", model, "--data", data)[0] == 1


def tamper(model: Path, name: str) -> None:
    """Negate the weights of a head."""
    weights = load_file(model / "model.safetensors")
    head = name.rpartition(".")[0]
    save_file({key: -value if key.startswith(head) else value for key, value in weights.items()}, model / "model.safetensors")


def test_a_saved_model_has_the_scores_of_the_trained_one(trained: tuple[Path, list[str]], data: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained[0], tmp_path / "model"))
    saved = saved_model.read(model)
    tokens = tokenise(read(DataSource.parse(str(data)), MIXTURE), saved.tokenizer, saved.config.max_length)
    assert saved.select_scores is not None
    assert {task: np.shape(scores) for task, scores in saved.select_scores.items()} == {"sst": (8, 5), "sts": (8, 1)}
    check_select_scores(saved, tokens)
    tamper(model, "heads.sts.bias")
    with pytest.raises(ConfigError, match=r"scores sts differently from the trained one.*not handed over"):
        check_select_scores(saved_model.read(model), tokens)


def test_changed_weights_are_detected(trained: tuple[Path, list[str]], data: Path, tmp_path: Path, run: Run) -> None:
    model = Path(shutil.copytree(trained[0], tmp_path / "model"))
    tamper(model, "heads.sts.bias")
    status, lines, error = run("--evaluate-only", "--model", model, "--data", data)
    assert status == 1
    found, recorded = json.loads(lines[0])["metrics"], saved_model.read(model).metrics
    sentences = [f"{name} is {found[name]:.6f}, recorded is {recorded[name]:.6f}" for name in ("sts/pearson", "sts/spearman")]
    assert error.splitlines() == sentences
    assert found["sst/accuracy"] == recorded["sst/accuracy"]


def test_nan_weights_are_detected(trained: tuple[Path, list[str]], data: Path, tmp_path: Path, run: Run) -> None:
    model = Path(shutil.copytree(trained[0], tmp_path / "model"))
    weights = load_file(model / "model.safetensors")
    save_file({**weights, "heads.sst.bias": weights["heads.sst.bias"] * float("nan")}, model / "model.safetensors")
    status, _, error = run("--evaluate-only", "--model", model, "--data", data)
    assert status == 1
    assert "sst/accuracy is nan, recorded is" in error


def test_metrics_on_other_data_are_not_compared(trained: tuple[Path, list[str]], data: Path, tmp_path: Path, run: Run) -> None:
    other = Path(shutil.copytree(data, tmp_path / "other"))
    path = other / "sts-train.csv"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    status, _, error = run("--evaluate-only", "--model", trained[0], "--data", other)
    assert status == 0
    assert "not compared" in error and "sts differs" in error and str(data) in error


def test_a_diverged_training_fails_with_its_reason_and_leaves_no_model(
    settings: dict[str, object], data: Path, tmp_path: Path, run: Run
) -> None:
    config = tmp_path / "trial.yaml"
    config.write_text(yaml.safe_dump({**settings, "optim": {"lr": 1e30, "head_lr": 1e30, "batch_size": 16}}))
    status, _, error = run("--config", config, "--data", data, "--out", tmp_path / "model")
    assert status == 1
    assert error.startswith("failed: ")
    assert "became nan between steps 1 and 2" in error
    assert not (tmp_path / "model").exists()


class TestWrongUsage:
    """Exit status 2, a message, no traceback, nothing written; further cases are in tests/test_wrong_usage.py."""

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("optim: {lr: 1e-4", "{} is not YAML: "),
            ("just words", "{} must hold a mapping of settings"),
            ("", "{} must hold a mapping of settings"),
            ("optim: {lrr: 1}", "{}: unknown setting optim.lrr (did you mean optim.lr?)"),
            ("backbone: ./nowhere\nmixture: [sst]", "backbone ./nowhere: there is no such folder"),
        ],
    )
    def test_config_is_wrong(self, tmp_path: Path, run: Run, text: str, sentence: str) -> None:
        config = tmp_path / "trial.yaml"
        config.write_text(text)
        status, lines, error = run("--config", config, "--out", tmp_path / "model")
        assert (status, lines) == (2, [])
        assert error.startswith(sentence.format(config))
        assert len(error.splitlines()) == 1
        assert not (tmp_path / "model").exists()

    def test_every_wrong_setting_has_its_line(self, tmp_path: Path, run: Run) -> None:
        config = tmp_path / "trial.yaml"
        config.write_text("optim: {lr: -1, batch_size: 0}\nsmart: {epsilonn: 1}\n")
        status, _, error = run("--config", config)
        assert status == 2
        batch_size, lr, epsilon = sorted(line.removeprefix(f"{config}: ") for line in error.splitlines())
        assert batch_size.startswith("optim.batch_size: ") and batch_size.endswith("given 0")
        assert lr.startswith("optim.lr: ") and lr.endswith("given -1")
        assert "smart.epsilonn (did you mean smart.epsilon?)" in epsilon

    def test_missing_data(self, settings: dict[str, object], tmp_path: Path, run: Run) -> None:
        (tmp_path / "trial.yaml").write_text(yaml.safe_dump(settings))
        status, _, error = run("--config", tmp_path / "trial.yaml", "--data", tmp_path / "none")
        assert status == 2
        assert "is not a folder" in error

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_out_is_not_empty(self, tmp_path: Path, run: Run, kind: str) -> None:
        out = tmp_path / "out"
        if kind == "file":
            out.write_text("mine")
        else:
            out.mkdir()
            (out / "mine").write_text("mine")
        (tmp_path / "trial.yaml").write_text("{}")
        sentence = f"--out {out} is not an empty folder; name a new one"
        assert run("--config", tmp_path / "trial.yaml", "--out", out) == (2, [], sentence)

    def test_model_is_not_saved_model(self, tmp_path: Path, run: Run) -> None:
        status, _, error = run("--evaluate-only", "--model", tmp_path)
        assert status == 2
        assert "is not a saved model" in error
