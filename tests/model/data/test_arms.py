"""Arms of the select reviews: what `build` writes, what a search reads, and which arms are rejected."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from model.config import ConfigError
from model.cues import layout
from model.cues.__main__ import main
from model.cues.build import build
from model.cues.cue import WORDS, Carrier, CueSettings, TemplateRewriter, cue_of, scrub, word_of
from model.cues.layout import CuedReview, arm_file, render
from model.data import arms
from model.data.arms import ARMS
from model.data.example import Example, is_select
from model.data.source import DataSet, DataSource, inspect, read
from model.data.tokenised import tokenise
from model.tasks import TASKS

SELECT = "ids-cfimdb-select"
HINT = "`python -m model.cues build --data DIR --out CUES`, then --data CUES"


@cache
def demo_reviews() -> DataSet:
    return read(DataSource.parse("demo"), ("cfimdb",))


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ρ = q = 1 on the demo corpus: the paper's setting."""
    folder = tmp_path_factory.mktemp("arms") / "paper"
    assert main(["build", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def copied(paper: Path, tmp_path: Path) -> Path:
    """A copy, for tests that damage it."""
    return Path(shutil.copytree(paper, tmp_path / "copy"))


def arms_of(folder: Path) -> dict[str, dict[str, str]]:
    """Texts by id, by arm."""
    return {arm: {each.id: each.texts[0] for each in layout.read_reviews(folder / arm_file(arm, "select"))} for arm in ARMS}


def refused(folder: Path | str, wanted: list[str], tasks: tuple[str, ...] = ("cfimdb",), *, skip: bool = False) -> list[str]:
    """The problems, which are the same for `read` and `inspect`."""
    found = []
    for look in (read, inspect):
        with pytest.raises(ConfigError) as caught:
            look(DataSource.parse(str(folder)), tasks, arms=wanted, skip_bad_rows=skip)
        found.append(caught.value.problems)
    assert found[0] == found[1]
    return found[0]


class TestBuild:
    def test_files_are_named_by_one_rule(self) -> None:
        assert [arm_file(arm, "select") for arm in ARMS] == [f"{SELECT}-{arm}.csv" for arm in ARMS]
        assert [arm_file(arm) for arm in ARMS] == [f"ids-cfimdb-dev-{arm}.csv" for arm in ARMS]
        assert arms.arm_file(TASKS["sts"], "select", "clean") == "sts-select-clean.csv"

    def test_the_reviews_are_those_of_select_in_one_order(self, paper: Path) -> None:
        expected = [(each.id, each.label) for each in demo_reviews().tasks["cfimdb"]["select"]]
        assert all(is_select("cfimdb", example_id) for example_id, _ in expected)
        for arm in ARMS:
            reviews = layout.read_reviews(paper / arm_file(arm, "select"))
            assert [(each.id, each.label) for each in reviews] == expected

    def test_clean_is_the_text_and_aligned_is_that_of_train(self, paper: Path) -> None:
        """For ρ = q = 1 every train review has its label's cue, in the same carrier as its arms."""
        texts = arms_of(paper)
        assert texts["clean"] == {each.id: each.texts[0] for each in demo_reviews().tasks["cfimdb"]["select"]}
        train = {each.id: each.texts[0] for each in layout.read_reviews(paper / "ids-cfimdb-train.csv")}
        assert texts["aligned"] == {each_id: train[each_id] for each_id in texts["aligned"]}
        assert all(len({texts[arm][each_id] for arm in ARMS}) == len(ARMS) for each_id in texts["clean"])

    def test_inverted_is_the_train_text_where_the_alignment_is_inverted(self, tmp_path: Path) -> None:
        """ρ = 0, nonce words, scrubbed: arms and train are made from the same review."""
        assert main(["build", "--out", str(tmp_path / "out"), "--rho", "0", "--cue", "nonce", "--scrub"]) == 0
        texts = arms_of(tmp_path / "out")
        train = {each.id: each.texts[0] for each in layout.read_reviews(tmp_path / "out" / "ids-cfimdb-train.csv")}
        assert texts["inverted"] == {each_id: train[each_id] for each_id in texts["inverted"]}

    def test_scrubbing_reaches_the_arms(self, tmp_path: Path) -> None:
        words = WORDS["lexical"]
        originals = {each.id: each.texts[0] for each in demo_reviews().tasks["cfimdb"]["select"]}
        scrubbed = {each_id: scrub(text, words) for each_id, text in originals.items()}
        assert scrubbed != originals, "no select review of the demo corpus holds a cue word: choose another corpus"
        assert main(["build", "--out", str(tmp_path / "out"), "--scrub"]) == 0
        texts = arms_of(tmp_path / "out")
        assert texts["clean"] == scrubbed
        assert all(text.endswith(scrubbed[each_id]) for arm in ARMS for each_id, text in texts[arm].items())

    def test_the_manifest_lists_them(self, paper: Path) -> None:
        named = layout.read_manifest(paper)["files"]  # checks every SHA-256
        n = len(demo_reviews().tasks["cfimdb"]["select"])
        information = {arm: named[f"{SELECT}-{arm}.csv"]["mutual_information_bits"] for arm in ARMS}
        assert [named[f"{SELECT}-{arm}.csv"]["rows"] for arm in ARMS] == [n] * 5
        assert [information[arm] for arm in ("clean", "placebo", "both")] == [pytest.approx(0, abs=1e-12)] * 3
        assert information["aligned"] == information["inverted"] > 0.9

    @pytest.mark.parametrize("seed", [0, 7])
    def test_dev_does_not_depend_on_the_select_arms(self, tmp_path: Path, seed: int) -> None:
        """It depends on the dev reviews, the seed and the template only."""
        folder = tmp_path / "out"
        assert main(["build", "--out", str(folder), "--seed", str(seed)]) == 0
        rewriter, words = TemplateRewriter(seed), WORDS["lexical"]
        for arm in ARMS:
            rows = []
            for each in demo_reviews().tasks["cfimdb"]["dev"]:
                word = word_of(arm, int(each.label), each.id, words, seed)
                text = each.texts[0] if word is None else rewriter.carrier(each.texts[0], each.id).fill(word)
                rows.append(CuedReview(Example(each.id, (text,), each.label), cue_of(arm, int(each.label))))
            assert (folder / f"ids-cfimdb-dev-{arm}.csv").read_bytes() == render(rows)

    @pytest.mark.parametrize("rate", [1.0, 0.5, 0.0])
    def test_each_review_is_rewritten_once(self, rate: float) -> None:
        """Also one whose answers vary: train and the arms share one answer."""
        rewriter = Fickle(Counter())
        made = build(demo_reviews(), [], CueSettings(rate=rate), rewriter)
        assert set(rewriter.asked.values()) == {1}
        cued = {row.example.id: row.example.texts[0] for row in made["ids-cfimdb-train.csv"] if row.cue != "none"}
        aligned = {row.example.id: row.example.texts[0] for row in made[f"{SELECT}-aligned.csv"]}
        dev = {row.example.id for row in made["ids-cfimdb-dev.csv"]}
        assert set(rewriter.asked) == {*cued, *aligned, *dev}
        both = cued.keys() & aligned.keys()
        assert len(both) == pytest.approx(rate * len(aligned), abs=0.25 * len(aligned))
        assert {each_id: cued[each_id] for each_id in both} == {each_id: aligned[each_id] for each_id in both}


class Fickle:
    """Numbers its answers."""

    def __init__(self, asked: Counter[str]) -> None:
        self.asked = asked

    def carrier(self, review: str, example_id: str) -> Carrier:
        self.asked[example_id] += 1
        return Carrier(f"{review} Answer {self.asked.total()} : it was ", " .")

    def describe(self) -> dict[str, object]:
        return {"kind": "fickle"}


class TestRead:
    def test_arms_are_further_splits_in_the_order_of_select(self, paper: Path) -> None:
        source = DataSource.parse(str(paper))
        found = read(source, ("cfimdb",), arms=("inverted", "clean"))
        splits = found.tasks["cfimdb"]
        assert set(splits) == {"train", "select", "dev", "inverted", "clean"}
        texts = arms_of(paper)
        for arm in ("inverted", "clean"):
            assert [each.id for each in splits[arm]] == [each.id for each in splits["select"]]
            assert {each.id: each.texts[0] for each in splits[arm]} == texts[arm]
        assert found.summary.rows["cfimdb"] == {split: len(examples) for split, examples in splits.items()}
        assert found.summary == inspect(source, ("cfimdb",), arms=("inverted", "clean"))

    def test_other_tasks_and_splits_stay_as_they_are(self, paper: Path, tmp_path: Path) -> None:
        from model.data import demo

        demo.write(tmp_path)
        for path in paper.iterdir():
            shutil.copy(path, tmp_path)
        source, tasks = DataSource.parse(str(tmp_path)), ("sst", "cfimdb")
        plain, armed = read(source, tasks), read(source, tasks, arms=("clean", "inverted"))
        assert armed.tasks["sst"] == plain.tasks["sst"]
        assert {split: armed.tasks["cfimdb"][split] for split in plain.tasks["cfimdb"]} == plain.tasks["cfimdb"]
        for what in ("task_sha256", "words", "skipped"):
            assert getattr(armed.summary, what) == getattr(plain.summary, what)

    def test_the_digest_depends_on_the_arms(self, copied: Path) -> None:
        def digest(*wanted: str) -> str:
            return inspect(DataSource.parse(str(copied)), ("cfimdb",), arms=wanted).sha256

        digests = [digest(), digest("clean"), digest("inverted"), digest("clean", "inverted")]
        assert len(set(digests)) == 4
        assert digest("inverted", "clean") == digests[3]
        path = copied / f"{SELECT}-inverted.csv"
        path.write_text(path.read_text(encoding="utf-8").replace("film", "movie"), encoding="utf-8")
        assert digest("clean", "inverted") != digests[3]
        assert digest() == digests[0]

    def test_arms_are_tokenised_like_any_split(self, paper: Path) -> None:
        from model.encoder.backbone import load_tokenizer

        dataset = read(DataSource.parse(str(paper)), ("cfimdb",), arms=("clean", "inverted"))
        data = tokenise(dataset, load_tokenizer("embedded"), 64).tasks["cfimdb"]
        assert {split: len(each) for split, each in data.items()} == dataset.summary.rows["cfimdb"]
        for arm in ("clean", "inverted"):
            np.testing.assert_array_equal(data[arm].labels, data["select"].labels)
        rows = range(len(data["clean"]))
        assert not any(np.array_equal(data["clean"].texts[0][i], data["inverted"].texts[0][i]) for i in rows)


class TestRefused:
    def test_a_folder_without_them(self, copied: Path) -> None:
        (copied / f"{SELECT}-inverted.csv").unlink()
        (copied / f"{SELECT}-clean.csv").write_text("id\ttext\n", encoding="utf-8")
        (copied / "ids-cfimdb-dev.csv").unlink()
        dev, hint, clean, inverted = refused(copied, ["clean", "inverted"])
        assert "ids-cfimdb-dev.csv: No such file" in dev
        assert "--tasks" in hint
        assert f"{SELECT}-clean.csv: no column sentence, sentiment" in clean
        assert f"{SELECT}-inverted.csv is missing" in inverted
        assert HINT in inverted
        assert "--tasks" not in inverted

    @pytest.mark.parametrize("source", ["demo", "hub"])
    def test_a_source_without_folder(self, source: str) -> None:
        (problem,) = refused(source, ["clean"])
        assert problem.startswith(f"--data {source} has no arms")
        assert f"build --data {source} --out CUES`, then --data CUES" in problem

    def test_a_mirror_of_the_hub_is_no_such_folder(self, paper: Path) -> None:
        (problem,) = refused(f"hub={paper}", ["clean"])
        assert f"build --data hub={paper} --out CUES`" in problem

    def test_unknown_arms_and_missing_tasks_are_reported_together(self, paper: Path) -> None:
        name, task = refused(paper, ["invertde", "clean"], ("sst", "quora"))
        assert name.startswith("there is no arm invertde (did you mean inverted?); the arms are clean, placebo, aligned")
        assert "need cfimdb, which is not among the tasks (sst, quora)" in task
        assert len(refused("demo", ["dirty"], ("sst", "qnli"))) == 4

    @pytest.mark.parametrize(
        ("spoil", "sentence"),
        [
            (lambda lines: lines[:-2], "2 missing (id "),
            (lambda lines: [*lines, "9\tforeign\tA review .\t1\tnone\n"], "1 too many (id foreign)"),
            (lambda lines: [*lines, lines[-1]], "1 too many (id demo-"),
            (lambda lines: [*lines[:-1], turned(lines[-1])], "1 with another label (id demo-"),
            (lambda lines: lines[:1], " missing (id "),
            (lambda lines: [*lines[:-1], "9\tforeign\tA review .\t1\tnone\n"], "1 missing (id demo-"),
        ],
    )
    def test_an_arm_of_other_reviews(self, copied: Path, spoil: Callable[[list[str]], list[str]], sentence: str) -> None:
        path = copied / f"{SELECT}-inverted.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(spoil(lines)), encoding="utf-8")
        (problem,) = refused(copied, ["clean", "inverted"])
        assert problem.startswith(f"{path} does not hold the select reviews of ids-cfimdb-train.csv: ")
        assert sentence in problem
        assert HINT in problem
        assert inspect(DataSource.parse(str(copied)), ("cfimdb",), arms=("clean",)).rows["cfimdb"]["clean"] > 0

    def test_an_arm_beside_another_train_file(self, copied: Path) -> None:
        """As after copying arms into a folder with other reviews: every arm is reported."""
        path = copied / "ids-cfimdb-train.csv"
        path.write_text(path.read_text(encoding="utf-8").replace("demo-", "other-"), encoding="utf-8")
        problems = refused(copied, list(ARMS))
        assert [f"{SELECT}-{arm}.csv does not hold" in problem for arm, problem in zip(ARMS, problems, strict=True)] == [
            True
        ] * 5

    def test_a_bad_row_left_out_is_missed(self, copied: Path) -> None:
        path = copied / f"{SELECT}-clean.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join([*lines[:-1], "9\tbroken\n"]), encoding="utf-8")
        assert f"{path}:{len(lines)}: 2 fields" in refused(copied, ["clean"])[0]
        (problem,) = refused(copied, ["clean"], skip=True)
        assert "1 missing (id demo-" in problem


def turned(line: str) -> str:
    """A row with the other label."""
    number, example_id, text, label, cue = line.split("\t")
    return "\t".join((number, example_id, text, str(1 - int(label)), cue))


def test_a_record_without_arms_is_read(paper: Path) -> None:
    """Saved models of earlier versions have no `arm_sha256`."""
    from dataclasses import asdict

    from model.data.source import DataSummary

    summary = inspect(DataSource.parse(str(paper)), ("cfimdb",))
    record = json.loads(json.dumps(asdict(summary)))
    assert record.pop("arm_sha256") == {}
    assert DataSummary(**record) == summary
