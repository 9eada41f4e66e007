"""The paper's tables beside a run's: every number against an independent calculation, every gap with its reason."""

from __future__ import annotations

import io
import json
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from tests.support.finalists import come_to, tried
from tests.support.paper_runs import MIXTURES, config, full_run, paper_config, run, trial
from tuner.commands import report
from tuner.report.paper.document import Document, documents
from tuner.report.paper.effect import compare, unpaired
from tuner.report.paper.formats import print_text
from tuner.report.paper.published import CUES, TRAININGS
from tuner.results import results_json as results

COLUMNS = {"SST": "dev/sst/accuracy", "Quora": "dev/quora/accuracy", "STS": "dev/sts/pearson"}


def only(found: list[Document]) -> Document:
    (document,) = found
    return document


def scores(found: dict[str, Any], mixture: tuple[str, ...], smart: bool, metric: str) -> list[list[float]]:
    """A metric at each evaluation of each seed's trial, read from results.json without the report's code."""
    trials = [
        t for t in found["trials"] if t["config"]["mixture"] == list(mixture) and t["config"]["smart"]["enabled"] == smart
    ]
    return [[evaluation["metrics"][metric] for evaluation in t["evaluations"]] for t in trials]


def test_the_papers_numbers_are_the_papers() -> None:
    finetuned = {row.label: row.scores["finetune"] for row in TRAININGS.trainings}
    assert finetuned["Baseline"] == [0.531, 0.790, 0.369]
    assert finetuned["SST+Quora+STS SMART"] == [0.519, 0.796, 0.404]
    assert finetuned["Quora+STS"] == [None, 0.785, 0.403]
    frozen = {row.label: row.scores["pretrain"] for row in TRAININGS.trainings}
    assert frozen["SMART"] == [0.425, 0.702, 0.286]
    assert frozen["SST+Quora SMART"] == [0.443, 0.694, None]
    assert [row.scores["finetune"] for row in CUES.trainings] == [[1.000, 0.946], [0.998, 0.967]]


def test_every_cell_is_its_trials(tmp_path: Path) -> None:
    found = full_run(tmp_path)
    document = only(documents(found))
    tuned = [cell for cell in document.cells if cell.mode == "finetune"]
    assert len(tuned) == 20
    for cell in tuned:
        mixture = cell.training.mixture or (cell.column.task,)
        curves = scores(found, mixture, cell.training.smart, COLUMNS[cell.column.name])
        lasts, bests = [curve[-1] for curve in curves], [max(curve) for curve in curves]
        assert cell.last is not None and cell.best is not None
        assert cell.last.n == 3
        assert (cell.last.mean, cell.last.sd) == pytest.approx((statistics.mean(lasts), statistics.stdev(lasts)))
        assert (cell.best.mean, cell.best.sd) == pytest.approx((statistics.mean(bests), statistics.stdev(bests)))


def test_the_effect_of_smart_is_the_paired_test(tmp_path: Path) -> None:
    found = full_run(tmp_path)
    effects = only(documents(found)).effects
    assert len(effects) == 10
    for effect in effects:
        mixture = effect.smart.training.mixture or (effect.smart.column.task,)
        sides = [[curve[-1] for curve in scores(found, mixture, smart, effect.smart.column.metric)] for smart in (True, False)]
        expected = stats.ttest_rel(*sides)
        assert effect.comparison.how == "paired"
        assert effect.comparison.p == pytest.approx(expected.pvalue)
        assert effect.comparison.n_se == pytest.approx(expected.statistic)


def test_other_seeds_on_each_side_make_it_welchs(tmp_path: Path) -> None:
    plain = [trial(seed, config(["sst"], False, seed), [0.4 + 0.01 * seed]) for seed in range(3)]
    smart = [trial(3 + seed, config(["sst"], True, 7 + seed), [0.45 + 0.02 * seed]) for seed in range(2)]
    (effect,) = only(documents(run(tmp_path, plain + smart))).effects
    expected = stats.ttest_ind([0.45, 0.47], [0.40, 0.41, 0.42], equal_var=False)
    assert effect.comparison.how == "Welch"
    assert effect.comparison.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n_rows", [245, 1101, 2000])
def test_equal_differences_have_no_standard_error_from_rounding(n_rows: int) -> None:
    """Accuracies are k/n: equal differences of them differ in float64's last digit only."""
    for gain in range(1, 12):
        right = [9 * n_rows // 10 + more for more in (0, 2, 5)]
        plain, smart = ({seed: (k + extra) / n_rows for seed, k in enumerate(right)} for extra in (0, gain))
        found = compare(plain, smart)
        assert found.difference == pytest.approx(gain / n_rows)
        assert (found.how, found.se, found.n_se, found.p) == ("paired", 0.0, None, None)
        alike = unpaired([smart[0]] * 3, [plain[0]] * 3)
        assert (alike.how, alike.se, alike.n_se, alike.p) == ("Welch", 0.0, None, None)


def test_a_confirmation_changes_no_cell(tmp_path: Path) -> None:
    """Finalists of a grid are no trials: table and effects are the same beside them, whichever is the champion."""
    found = full_run(tmp_path)
    came = come_to(tried("3", [0.70, 0.72], search=0.8), tried("default", [0.75, 0.76]))
    assert came.champion is not None
    confirmed = found | {"confirmation": came.confirmation, "champion": came.champion | {"path": None}}
    assert documents(confirmed) == documents(found)
    results.write(tmp_path / results.FILE_NAME, confirmed)
    assert report.main(["--paper", str(tmp_path), "--format", "json"]) == 0


def test_gaps_have_their_reasons(tmp_path: Path) -> None:
    failed = replace(trial(1, config(["sst"], False, 1), []), state="FAIL", score=None, reason="the loss became nan at step 7")
    document = only(documents(run(tmp_path, [trial(0, config(["sst"], False), [0.4]), failed])))
    text = "\n".join(document.notes)
    assert "1 of 2 failed: the loss became nan at step 7" in text
    assert "not in the run" in text
    cells = {(cell.training.label, cell.column.name): cell for cell in document.cells if cell.mode == "finetune"}
    assert cells["Baseline", "SST"].last is not None and cells["Baseline", "SST"].last.sd is None, "one seed has no deviation"
    assert cells["SMART", "SST"].last is None


def test_a_cell_that_mixes_configurations_says_so(tmp_path: Path) -> None:
    records = [trial(seed, config(["sst"], False, seed, optim={"lr": lr}), [0.4]) for seed, lr in enumerate((1e-5, 2e-5))]
    text = "\n".join(only(documents(run(tmp_path, records))).notes)
    assert "optim.lr" in text


def test_one_way_of_mixing_is_said_once(tmp_path: Path) -> None:
    tasks = ["sst", "quora", "sts"]
    plain = [trial(seed, config(tasks, False, seed, optim={"lr": lr}), [0.4]) for seed, lr in enumerate((1e-5, 2e-5))]
    smart = [trial(2 + seed, config(tasks, True, seed), [0.5]) for seed in range(2)]
    document = only(documents(run(tmp_path, plain + smart)))
    (note,) = (line for line in document.notes if line.startswith("†"))
    assert note == "† one mean mixes configurations in finetune SST+Quora+STS: optim.lr 1e-05 or 2e-05"
    (warning,) = (line for line in document.verdict if "more than SMART" in line)
    assert warning == "finetune SST+Quora+STS: the two sides differ in more than SMART: optim.lr 1e-05 or 2e-05"


def test_effects_fit_a_narrow_terminal(tmp_path: Path) -> None:
    """At 80 columns no cell of the effects is broken: each effect is one line, whether paired or Welch's."""
    whole = full_run(tmp_path)
    del whole["trials"][0]
    found = documents(whole)
    console = Console(width=80, file=io.StringIO())
    print_text(console, found)
    below = console.file.getvalue().partition("effect of SMART")[2]  # type: ignore[attr-defined]
    rows = [line for line in below.splitlines() if re.search(r"(paired 3|Welch 2, 3) +\.\d{3}$", line.rstrip())]
    assert len(rows) == len(only(found).effects) == 10


def test_what_agrees_with_the_paper_is_no_difference(tmp_path: Path) -> None:
    theirs = only(documents(run(tmp_path, [trial(0, paper_config(["sst"], True), [0.4] * 10)]))).differences
    ours = only(documents(full_run(tmp_path))).differences
    assert not any(line.startswith(("backbone", "budget", "batch size", "learning rate", "pair encoding")) for line in theirs)
    for name in ("backbone", "budget", "batch size", "learning rate", "pair encoding"):
        assert any(line.startswith(name) for line in ours), name


def test_cues_are_read_from_the_inverted_arm(tmp_path: Path) -> None:
    looks = [{"train/cfimdb/accuracy": t, "dev-inverted/cfimdb/accuracy": d} for t, d in ((0.8, 0.7), (0.9, 0.6))]
    records = [trial(seed + 2 * smart, config(["cfimdb"], smart, seed), looks) for smart in (False, True) for seed in range(2)]
    document = only(documents(run(tmp_path, records)))
    assert document.table is CUES
    by_name = {(cell.training.label, cell.column.name): cell for cell in document.cells}
    train, dev = by_name["Baseline", "train"], by_name["Baseline", "dev"]
    assert dev.best is not None and train.best is not None and dev.last is not None
    assert (dev.best.mean, train.best.mean, dev.last.mean) == pytest.approx((0.7, 0.8, 0.6)), "dev picks train's epoch too"
    (effect,) = document.effects
    assert effect.dev_se == pytest.approx((0.6 * 0.4 / 245) ** 0.5)


class TestCommand:
    """`python -m tuner report`"""

    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        (tmp_path / "full").mkdir()
        results.write(tmp_path / "full" / results.FILE_NAME, full_run(tmp_path))
        return tmp_path

    def test_text_has_the_paper_and_ours(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert report.main(["--paper", "full", "--runs-dir", str(runs)]) == 0
        text = capsys.readouterr().out
        assert re.search(r"SST\+Quora SMART +\.526 +\.510 ± \.007 +\.500 ± \.007 \(3\)", text)
        assert "where ours differs from the paper" in text

    def test_markdown_reads_back(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert report.main(["--paper", str(runs / "full"), "--format", "markdown"]) == 0
        rows = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        widths = {len(row) for row in rows}
        assert len(rows) > 10
        assert widths <= {4, 8, 10}

    def test_json_is_json(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert report.main(["--paper", "full", "--runs-dir", str(runs), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)

    def test_an_unknown_run_lists_the_runs(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert report.main(["--paper", "ful", "--runs-dir", str(runs)]) == 2
        assert "there is no run ful" in (said := capsys.readouterr().err)
        assert "the runs there are full" in said

    def test_a_run_without_dev_scores_says_how_to_get_them(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results.write(tmp_path / results.FILE_NAME, run(tmp_path, [trial(0, config(["sst"], False), [{}])]))
        assert report.main(["--paper", str(tmp_path)]) == 2
        assert "watch: [dev]" in capsys.readouterr().err

    def test_a_run_of_other_mixtures_is_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results.write(tmp_path / results.FILE_NAME, run(tmp_path, [trial(0, config(["sst", "sts"], False), [0.5])]))
        assert report.main(["--paper", str(tmp_path)]) == 2
        assert "has no training of the paper: it has sst+sts (finetune)" in capsys.readouterr().err

    def test_an_unfinished_run_is_reported_as_such(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results.write(tmp_path / results.FILE_NAME, full_run(tmp_path, seeds=1) | {"finished": None})
        assert report.main(["--paper", str(tmp_path)]) == 0
        assert "is unfinished" in (said := capsys.readouterr().out)
        assert "one seed" in said


def test_every_mixture_of_the_paper_is_in_the_grid() -> None:
    assert {frozenset(mixture) for mixture in MIXTURES} == TRAININGS.mixtures()
