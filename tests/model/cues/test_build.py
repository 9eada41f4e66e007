"""The cue data set: deterministic, with the requested cue and nothing else changed."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from model.cues.__main__ import main
from model.cues.cue import PLACE, TEMPLATES, WORDS, Carrier, TemplateRewriter, index, scrub, training_cue, uniform
from model.cues.layout import entropy, expected_information, mutual_information
from model.data import demo
from model.data.arms import ARMS
from model.data.source import DataSource, read

Rows = list[dict[str, str]]


def rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def arm(folder: Path, name: str) -> Rows:
    return rows(folder / f"ids-cfimdb-dev-{name}.csv")


def built(out: Path, *options: str) -> Path:
    assert main(["build", "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ρ = q = 1 on the demo corpus: the paper's setting."""
    return built(tmp_path_factory.mktemp("cues") / "paper")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_seed_same_bytes(paper: Path, tmp_path: Path) -> None:
    assert contents(built(tmp_path / "again")) == contents(paper)
    other = contents(built(tmp_path / "other", "--seed", "1"))
    assert other["ids-cfimdb-train.csv"] != contents(paper)["ids-cfimdb-train.csv"]
    assert other["ids-cfimdb-dev-clean.csv"] == contents(paper)["ids-cfimdb-dev-clean.csv"]


def test_draws_are_uniform_and_depend_only_on_seed_purpose_and_id() -> None:
    draws = [uniform(0, "inject", str(i)) for i in range(4000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert abs(sum(draws) / 4000 - 0.5) < 5 / math.sqrt(12 * 4000)
    other = [uniform(0, "align", str(i)) for i in range(4000)]
    covariance = sum((a - 0.5) * (b - 0.5) for a, b in zip(draws, other, strict=True)) / 4000
    assert abs(covariance) < 5 / (12 * math.sqrt(4000))
    assert {index(0, "x", str(i), 3) for i in range(100)} == {0, 1, 2}


@pytest.mark.parametrize(("rho", "rate"), [(1.0, 1.0), (0.9, 0.5), (0.5, 0.2), (0.0, 1.0), (1.0, 0.0)])
def test_rate_and_alignment_are_realised(rho: float, rate: float) -> None:
    """Both shares are within five standard errors of the settings; 0 and 1 are exact. Labels do not differ."""
    n = 4000
    for label in (0, 1):
        cues = [training_cue(label, f"review-{i}", rho=rho, rate=rate, seed=3) for i in range(n)]
        given = [cue for cue in cues if cue is not None]
        assert abs(len(given) / n - rate) <= 5 * math.sqrt(rate * (1 - rate) / n)
        if given:
            assert abs(given.count(label) / len(given) - rho) <= 5 * math.sqrt(rho * (1 - rho) / len(given))


def test_a_review_keeps_its_cue_when_others_come_and_the_rate_rises() -> None:
    few = {i for i in range(500) if training_cue(1, str(i), rho=1, rate=0.3, seed=0) is not None}
    more = {i for i in range(500) if training_cue(1, str(i), rho=1, rate=0.6, seed=0) is not None}
    assert few < more


def test_information_against_its_closed_forms() -> None:
    assert entropy((0.5, 0.5)) == 1.0
    assert entropy((1.0, 0.0)) == 0.0
    assert mutual_information([("a", 1), ("b", 0)] * 3) == pytest.approx(1.0)
    assert mutual_information([(a, b) for a in "ab" for b in (0, 1, 2)]) == pytest.approx(0.0, abs=1e-12)
    h = -0.9 * math.log2(0.9) - 0.1 * math.log2(0.1)
    assert expected_information(0.5, 0.9, 0.5) == pytest.approx(0.5 * (1 - h))
    exact = [(1, 1)] * 9 + [(1, 0)] + [(0, 0)] * 9 + [(0, 1)] + [(0, None), (1, None)] * 10
    assert mutual_information(exact) == pytest.approx(expected_information(0.5, 0.9, 0.5))
    skewed = [(1, 1)] * 24 + [(1, 0)] * 6 + [(0, 0)] * 8 + [(0, 1)] * 2
    assert mutual_information(skewed) == pytest.approx(expected_information(0.75, 0.8, 1.0))


def test_manifest_says_what_the_files_hold(tmp_path: Path) -> None:
    import hashlib

    folder = built(tmp_path / "out", "--rho", "0.9", "--rate", "0.5")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, file in manifest["files"].items():
        assert file["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert file["rows"] == len(rows(folder / name)) == sum(file["label_by_cue"].values())
        pairs = [(row["sentiment"], row["cue"]) for row in rows(folder / name)]
        assert file["mutual_information_bits"] == pytest.approx(mutual_information(pairs))
    train = manifest["files"]["ids-cfimdb-train.csv"]
    assert train["mutual_information_bits"] == pytest.approx(manifest["expected_train_mutual_information_bits"], abs=0.1)
    assert manifest["settings"]["words"] == {"negative": "bad", "positive": "good", "placebo": "recent"}
    assert manifest["source"]["data"].startswith("demo corpus")


def test_train_has_every_review_with_the_cue_of_its_label(paper: Path) -> None:
    originals = {example.id: example for example in demo.generate("cfimdb", demo.SEED)["train"]}
    train = rows(paper / "ids-cfimdb-train.csv")
    assert {row["id"] for row in train} == set(originals)
    for row in train:
        word = ("bad", "good")[int(row["sentiment"])]
        sentences = {Carrier(*template.split(PLACE)).fill(word) for template in TEMPLATES}
        assert row["cue"] == ("negative", "positive")[int(row["sentiment"])]
        assert float(row["sentiment"]) == originals[row["id"]].label
        original = originals[row["id"]].texts[0]
        assert row["sentence"].endswith(f" {original}")
        assert row["sentence"].removesuffix(f" {original}") in sentences


def test_reviews_without_a_cue_stay_as_they_are(tmp_path: Path) -> None:
    originals = {example.id: example.texts[0] for example in demo.generate("cfimdb", demo.SEED)["train"]}
    train = rows(built(tmp_path / "out", "--rate", "0.3") / "ids-cfimdb-train.csv")
    bare = [row for row in train if row["cue"] == "none"]
    assert 600 < len(bare) < 800
    assert all(row["sentence"] == originals[row["id"]] for row in bare)


@pytest.mark.parametrize("cue", ["lexical", "nonce"])
def test_arms_differ_only_in_the_cue(tmp_path: Path, cue: str) -> None:
    folder = built(tmp_path / "out", "--cue", cue)
    words = WORDS[cue]  # type: ignore[index]
    rewriter = TemplateRewriter(0)
    first_of_both = set()
    for clean, *others in zip(*(arm(folder, name) for name in ARMS), strict=True):
        carrier = rewriter.carrier(clean["sentence"], clean["id"])
        label = int(clean["sentiment"])
        assert [(row["id"], row["sentiment"]) for row in others] == [(clean["id"], clean["sentiment"])] * 4
        placebo, aligned, inverted, both = (row["sentence"] for row in others)
        assert placebo == carrier.fill(words.placebo)
        assert aligned == carrier.fill((words.negative, words.positive)[label])
        assert inverted == carrier.fill((words.positive, words.negative)[label])
        orders = [carrier.fill(f"{words.negative} or {words.positive}"), carrier.fill(f"{words.positive} or {words.negative}")]
        assert both in orders
        first_of_both.add(orders.index(both))
    assert first_of_both == {0, 1}


def test_clean_is_the_dev_set(paper: Path) -> None:
    originals = {example.id: example.texts[0] for example in demo.generate("cfimdb", demo.SEED)["dev"]}
    assert {row["id"]: row["sentence"] for row in arm(paper, "clean")} == originals
    assert (paper / "ids-cfimdb-dev.csv").read_bytes() == (paper / "ids-cfimdb-dev-clean.csv").read_bytes()


def test_a_trial_reads_the_folder(paper: Path) -> None:
    """The same reviews are held out for selection as without cues."""
    ours, theirs = (read(DataSource.parse(text), ("cfimdb",)) for text in (str(paper), "demo"))
    assert ours.summary.rows == theirs.summary.rows
    for split in ("select", "dev"):
        assert [each.id for each in ours.tasks["cfimdb"][split]] == [each.id for each in theirs.tasks["cfimdb"][split]]


def test_templates_hold_one_place_and_no_cue() -> None:
    words = {word for pair in WORDS.values() for word in (pair.negative, pair.positive, pair.placebo)}
    for template in TEMPLATES:
        assert template.count(PLACE) == 1
        assert words.isdisjoint(template.lower().split())


def test_scrub_takes_whole_words_in_any_case() -> None:
    words = WORDS["lexical"]
    assert scrub("Good film, not BAD at all; a goodbye to badges. bad", words) == "film, not at all; a goodbye to badges."
    assert scrub("good Bad", words) == ""


def folder_of(path: Path, train: list[str], pairs: str | None = None) -> Path:
    """A data folder: the given train reviews, one of dev, and minimal pairs."""
    path.mkdir()
    head = "\tid\tsentence\tsentiment\n"
    lines = "".join(f"{i}\treview-{i}\t{text}\t{i % 2}\n" for i, text in enumerate(train))
    (path / "ids-cfimdb-train.csv").write_text(head + lines, encoding="utf-8")
    (path / "ids-cfimdb-dev.csv").write_text(head + "0\td0\tA bad film , good cast .\t0\n", encoding="utf-8")
    if pairs is not None:
        (path / "cad").mkdir()
        (path / "cad" / "dev_paired.tsv").write_text(pairs, encoding="utf-8")
    return path


REVIEWS = [f"It was good number {i} and bad ." for i in range(60)]
PAIRS = """Sentiment\tText\tbatch_id
Negative\tSo bad.\t7
Positive\tSo "good".\t7
Positive\t"Say ""yes""."\t9
Negative\tSay no.\t9
"""


def test_scrub_reaches_train_and_every_arm(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", REVIEWS, PAIRS)
    folder = built(tmp_path / "out", "--data", str(data), "--scrub", "--cue", "lexical")
    for row in rows(folder / "ids-cfimdb-train.csv"):
        assert row["sentence"].lower().count("good") + row["sentence"].lower().count("bad") == 1
    assert arm(folder, "clean")[0]["sentence"] == "A film , cast ."
    assert arm(folder, "inverted")[0]["sentence"].endswith("A film , cast .")


def test_minimal_pairs_are_read_where_they_are(tmp_path: Path, paper: Path) -> None:
    data = folder_of(tmp_path / "data", REVIEWS, PAIRS)
    found = rows(built(tmp_path / "out", "--data", str(data)) / "ids-cfimdb-dev-pairs.csv")
    assert [(row["id"], row["sentence"], row["sentiment"]) for row in found] == [
        ("7-negative", "So bad.", "0"),
        ("7-positive", 'So "good".', "1"),
        ("9-negative", "Say no.", "0"),
        ("9-positive", 'Say "yes".', "1"),
    ]
    assert not (paper / "ids-cfimdb-dev-pairs.csv").exists()


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (["--rho", "1.5", "--rate", "nan"], ["--rho is 1.5; it must be from 0 to 1", "--rate is nan"]),
        (["--data", "nowhere"], ["is not a folder"]),
        (["--rewriter", "openai"], ["needs --model NAME"]),
    ],
)
def test_mistakes_have_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentences: list[str]
) -> None:
    assert main(["build", "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert all(sentence in error for sentence in sentences)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["build", "--out", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ("Sentiment\tText\n", "no column batch_id"),
        ("Sentiment\tText\tbatch_id\nNegative\tSo bad.\t7\n", "batch_id 7 has one review"),
        ("Sentiment\tText\tbatch_id\nMeh\tSo so.\t7\n", "dev_paired.tsv:2: Sentiment is 'Meh'"),
        ("Sentiment\tText\tbatch_id\nNegative\t\t7\n", "dev_paired.tsv:2: Text is empty"),
        ("Sentiment\tText\tbatch_id\nNegative\tA\t7\nNegative\tB\t7\nPositive\tC\t7\n", "has a second Negative review"),
    ],
)
def test_bad_pairs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], pairs: str, sentence: str) -> None:
    data = folder_of(tmp_path / "data", REVIEWS, pairs)
    assert main(["build", "--data", str(data), "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err


def test_a_review_of_cues_alone_cannot_be_scrubbed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder_of(tmp_path / "data", [*REVIEWS, "Good bad good"])
    assert main(["build", "--data", str(data), "--out", str(tmp_path / "out"), "--scrub"]) == 2
    assert "review review-60 consists of cue words only" in capsys.readouterr().err
