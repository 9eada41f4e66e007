"""Metrics of the reliance on the cue, worked out by hand, and the command line on models of known behaviour."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import TrialConfig
from model.cues import evaluate
from model.cues.__main__ import main
from model.data.arms import ARMS
from model.data.example import Example
from model.data.source import DataSet
from model.data.tokenised import Ragged, TokenizedSplit, tokenise
from model.encoder.backbone import load_tokenizer
from model.encoder.network import MultitaskNetwork, build
from model.saved_model import folder as saved_model
from model.training.batches import make_batch
from tests.support import tiny


def vector(text: str) -> np.ndarray:
    return np.array([float(each) for each in text])


LABELS = vector("00001111")
CLEAN = vector("00001110")
ALIGNED = vector("00011111")
INVERTED = vector("01110011")


def test_scores_by_hand() -> None:
    """Clean 7/8; aligned 7/8; inverted 3/8. Groups: negatives 3/4 and 1/4, positives 4/4 and 2/4. Flips at 1, 2, 4, 5."""
    arms = {"clean": CLEAN, "placebo": CLEAN, "aligned": ALIGNED, "inverted": INVERTED, "both": LABELS}
    cues: evaluate.CueSet = {"clean": [Example(str(i), ("a",), label) for i, label in enumerate(LABELS.tolist())]}
    found = evaluate.scores(evaluate.Predictions(arms, 1.0), cues)
    assert found.arms == {"clean": 0.875, "placebo": 0.875, "aligned": 0.875, "inverted": 0.375, "both": 1.0}
    assert found.gap == 0.5
    assert found.groups == {
        "negative × negative": 0.75,
        "negative × positive": 0.25,
        "positive × positive": 1.0,
        "positive × negative": 0.5,
    }
    assert found.worst_group == "negative × positive"
    assert found.flip_rate == 0.5
    assert found.consistency is None


def test_groups_without_reviews_are_left_out() -> None:
    ones = np.ones(3)
    assert evaluate.groups(ones, np.zeros(3), ones) == {"positive × positive": 1.0, "positive × negative": 0.0}


def test_consistency_needs_both_sides_in_any_order() -> None:
    batches = ["a", "b", "c", "a", "b", "c"]
    assert evaluate.consistency(batches, vector("010110"), vector("000111")) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (9, 2), (2, 9), (5, 5), (30, 12)])
def test_mcnemar_against_the_binomial_sum(only_first: int, only_second: int) -> None:
    """Two-sided: twice the smaller tail of n fair coins, at most 1."""
    first = np.array([1.0] * only_first + [0.0] * only_second + [1.0, 0.0])
    second = np.array([0.0] * only_first + [1.0] * only_second + [1.0, 0.0])
    found = evaluate.mcnemar(first, second, np.ones(len(first)))
    n, least = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def save_model(folder: Path, network: MultitaskNetwork, config: TrialConfig) -> None:
    saved_model.write(folder, network, config, {}, tiny.data().summary)


def constant(backbone: Path, bias: float, mixture: tuple[str, ...] = ("cfimdb",)) -> tuple[MultitaskNetwork, TrialConfig]:
    """A tiny network whose first head always predicts the last class, or NaN."""
    config = tiny.config(backbone, mixture=mixture)
    network = build(config)
    head = network.heads[mixture[0]]
    torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.zero_()
        head.bias[-1] = bias
    return network, config


def leaning(backbone: Path, cues: evaluate.CueSet) -> tuple[MultitaskNetwork, TrialConfig]:
    """A tiny network whose head points from texts with the negative cue to those with the positive one, centred on both."""
    config = tiny.config(backbone, mixture=("cfimdb", "sst"))
    network = build(config).eval()
    head = network.heads["cfimdb"]
    examples = [*cues["aligned"], *cues["inverted"]]
    dataset = DataSet({"cfimdb": {"given": examples}}, tiny.data().summary)
    batch = make_batch(
        tokenise(dataset, load_tokenizer("embedded"), config.max_length), config, "cfimdb", "given", np.arange(len(examples))
    )
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        network(batch, network.embed(batch.input_ids))
        hook.remove()
        labels = torch.from_numpy(evaluate.labels_of(cues["clean"]))
        is_positive = torch.cat((labels, 1 - labels)) > 0.5
        head.weight.zero_()
        head.weight[1] = 100 * (seen[0][is_positive].mean(0) - seen[0][~is_positive].mean(0))
        head.bias.zero_()
        head.bias[1] = -(seen[0] @ head.weight[1]).mean()
    return network, config


@pytest.fixture(scope="module")
def folder(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cue data set with minimal pairs, and models."""
    where = tmp_path_factory.mktemp("cues")
    assert main(["build", "--out", str(where / "demo")]) == 0
    assert main(["build", "--data", str(with_pairs(where / "demo", where / "data")), "--out", str(where / "cues")]) == 0
    save_model(where / "positive", *constant(tiny_backbone, 1.0))
    save_model(where / "leaning", *leaning(tiny_backbone, evaluate.read(where / "cues")))
    save_model(where / "other", *constant(tiny_backbone, 1.0, ("sst",)))
    save_model(where / "diverged", *constant(tiny_backbone, torch.nan))
    return where


def with_pairs(source: Path, data: Path) -> Path:
    """A data folder of 20 dev reviews and two minimal pairs."""
    (data / "cad").mkdir(parents=True)
    (data / "ids-cfimdb-train.csv").write_bytes((source / "ids-cfimdb-train.csv").read_bytes())
    lines = (source / "ids-cfimdb-dev.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "ids-cfimdb-dev.csv").write_text("".join(lines[:21]), encoding="utf-8")
    pairs = "Sentiment\tText\tbatch_id\n" + "".join(f"{s}\t{s} it is.\t{b}\n" for b in (1, 2) for s in ("Negative", "Positive"))
    (data / "cad" / "dev_paired.tsv").write_text(pairs, encoding="utf-8")
    return data


def test_a_model_that_ignores_the_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", str(folder / "positive"), "--cues", str(folder / "cues"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    share = float(evaluate.labels_of(evaluate.read(folder / "cues")["clean"]).mean())
    assert 0 < share < 1
    assert found["arms"] == dict.fromkeys(ARMS, pytest.approx(share))
    assert (found["gap"], found["flip_rate"], found["consistency"], found["cue_seen"]) == (0.0, 0.0, 0.0, 1.0)
    assert found["worst_group"]["accuracy"] == 0.0
    assert found["worst_group"]["group"].startswith("negative")


def test_two_models_are_compared_on_every_arm(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [folder / "leaning", folder / "positive"]
    arguments = ["evaluate", "--model", str(models[0]), "--cues", str(folder / "cues"), "--against", str(models[1])]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    n = len(evaluate.read(folder / "cues")["clean"])
    for arm in ARMS:
        first, second = (each["arms"][arm] for each in found["models"])
        test = found["mcnemar"][arm]
        assert test["only_first"] - test["only_second"] == round((first - second) * n)
    assert any(test["only_first"] + test["only_second"] for test in found["mcnemar"].values())
    assert main(arguments) == 0
    text = capsys.readouterr().out
    for what in ("accuracy clean", "clean − inverted", "worst group (", "flips when", "minimal pairs", "McNemar", "inverted  "):
        assert what in text


def test_predictions_are_those_of_model_predict(folder: Path) -> None:
    """Also, the cue flips some of them."""
    from model import predict

    cues = evaluate.read(folder / "cues")
    predictions = evaluate.predict(folder / "leaning", cues)
    model = saved_model.read(folder / "leaning")
    for split in ("aligned", "inverted", "pairs"):
        texts = [example.texts for example in cues[split]]
        names = [each.label for each in predict.predict(model, "cfimdb", texts)]
        assert [("negative", "positive")[int(each)] for each in predictions.by_split[split]] == names
    found = evaluate.scores(predictions, cues)
    assert 0 < found.flip_rate < 1
    assert found.arms["aligned"] > found.arms["inverted"]


@pytest.mark.parametrize(
    ("model", "cues", "sentence"),
    [
        ("other", "cues", "was not trained on cfimdb but on sst"),
        ("diverged", "cues", "has outputs that are not finite"),
        ("nowhere", "cues", "is not a saved model"),
        ("positive", "data", "is not a cue data set"),
    ],
)
def test_mistakes_have_messages(folder: Path, capsys: pytest.CaptureFixture[str], model: str, cues: str, sentence: str) -> None:
    assert main(["evaluate", "--model", str(folder / model), "--cues", str(folder / cues)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_changed_arm_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = tmp_path / "cues"
    shutil.copytree(folder / "cues", copy)
    with (copy / "ids-cfimdb-dev-inverted.csv").open("a", encoding="utf-8") as file:
        file.write("40\tmore\tOne more .\t1\tnegative\n")
    (copy / "ids-cfimdb-dev-both.csv").unlink()
    assert main(["evaluate", "--model", str(folder / "positive"), "--cues", str(copy)]) == 2
    error = capsys.readouterr().err
    assert "ids-cfimdb-dev-inverted.csv was changed since it was built" in error
    assert "ids-cfimdb-dev-both.csv is missing" in error


def test_a_cue_beyond_max_length_does_not_count() -> None:
    """The first review differs in its cue, the second is truncated before it."""
    arms = [TokenizedSplit((Ragged.from_rows(rows),), np.zeros(2, np.float32)) for rows in ([[5, 8], [1]], [[5, 9], [1]])]
    assert evaluate.share_seen(*arms) == 0.5
