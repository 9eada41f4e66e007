"""A whole search with its confirmation, killed in the middle of it: nothing is a stand-in."""

from __future__ import annotations

import json
import signal
import sqlite3
import statistics
from pathlib import Path
from typing import Any

import pytest

from model import saved, train
from tests.support.searches import command, finish, results_of, write_space
from tuner import check

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPACE = """
name: small
metric: mean
targets: [sst, sts]
options: {{trials: 2, finalists: 1, seeds: 2, sampler: random, pruner: none, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed: {{backbone: {backbone}, max_length: 32, mixture: [sst, sts], budget.examples: 480, budget.evaluations: 2, smart.mu: 0.0}}
search:
  optim.lr: {{float: [1.0e-4, 1.0e-2], log: true}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """Two trials, then the best one and the default on two seeds each; the driver is killed after the first of these."""
    folder = tmp_path_factory.mktemp("confirmed")
    space = write_space(folder, tiny_backbone, SPACE)
    process = command("--space", str(space), "--runs-dir", str(folder), "--name", "one", "--max-concurrent", "1")
    assert process.stderr is not None
    before = []
    for line in process.stderr:
        before.append(line)
        if line.startswith("finalist") and "COMPLETE" in line:
            break
    process.send_signal(signal.SIGKILL)
    finish(process)
    killed = results_of(folder / "one")
    again = command("--resume", "one", "--runs-dir", str(folder))
    out, err = finish(again)
    assert again.returncode == 0, err
    return {"folder": folder / "one", "killed": killed, "before": before, "out": out, "err": err}


def test_what_was_killed_has_a_champion_and_goes_on(run: dict[str, Any]) -> None:
    assert run["killed"]["finished"] is None
    assert run["killed"]["confirmation"] is None
    assert run["killed"]["champion"]["confirmed"] is None
    done = [line.partition("  ")[0] for line in (*run["before"], *run["err"].splitlines()) if "  COMPLETE" in line]
    assert len(done) == len(set(done)) == 4, "no training was done twice"
    assert run["err"].startswith("now the confirmation, 3 trainings which are no trials\n")


def test_both_finalists_were_trained_on_fresh_seeds_at_full_budget(run: dict[str, Any]) -> None:
    found = results_of(run["folder"])
    told = found["confirmation"]
    assert {one["name"] for one in told["finalists"]} == {"default", f"trial {max(found['trials'], key=score)['number']}"}
    seeds = {tuple(training["seed"] for training in one["trainings"]) for one in told["finalists"]}
    assert seeds == {tuple(told["seeds"])}
    assert not {trial["config"]["seed"] for trial in found["trials"]} & set(told["seeds"])
    for one in told["finalists"]:
        assert [training["state"] for training in one["trainings"]] == ["COMPLETE"] * 2
        assert one["mean"] == pytest.approx(statistics.fmean(training["score"] for training in one["trainings"]))
        assert one["sd"] == pytest.approx(statistics.stdev(training["score"] for training in one["trainings"]))
    tuned = next(one for one in told["finalists"] if not one["is_default"])
    assert tuned["optimism"] == pytest.approx(tuned["search_score"] - tuned["mean"])
    assert len(found["trials"]) == 2, "finalists are no trials"


def score(trial: dict[str, Any]) -> float:
    return float(trial["score"])


def test_dev_is_what_the_kept_models_say_of_it(run: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Computed again by `model.train` from the weights: champion, and the model that is kept of each finalist."""
    found = results_of(run["folder"])
    trainings = {t["number"]: t for one in found["confirmation"]["finalists"] for t in one["trainings"]}
    kept = {int(path.name): path for path in (run["folder"] / "confirmation" / "models").iterdir()}
    assert set(kept) <= set(trainings)
    assert len(kept) == 2
    expected = {path: trainings[number]["dev"] for number, path in kept.items()}
    champion = Path(found["champion"]["path"])
    assert found["champion"]["dev"] == trainings[found["champion"]["confirmed"]["training"]]["dev"]
    for path, metrics in {**expected, champion: found["champion"]["dev"]}.items():
        assert train.main(["--evaluate-only", "--model", str(path), "--split", "dev"]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(metrics, abs=1e-9)
    assert train.main(["--evaluate-only", "--model", str(champion)]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(found["champion"]["metrics"], abs=1e-6)
    assert saved.read(champion).config.seed == found["champion"]["confirmed"]["seed"]


def test_the_champion_and_the_comparison_follow_from_the_finalists(run: dict[str, Any]) -> None:
    found = results_of(run["folder"])
    first, second = found["confirmation"]["finalists"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["mean"] >= second["mean"], "with as many seeds each, and one spread for both, the mean decides"
    assert (found["champion"]["number"], found["champion"]["confirmed"]["mean"]) == (first["trial"], first["mean"])
    (comparison, *_) = found["confirmation"]["comparisons"]
    means = [statistics.fmean(t["dev_score"] for t in one["trainings"]) for one in (first, second)]
    assert comparison["difference"] == pytest.approx(means[0] - means[1])
    assert comparison["low"] <= comparison["difference"] <= comparison["high"]
    assert found["confirmation"]["beats_default"] in ("yes", "no", "undecided")
    assert ("UNTUNED DEFAULT" in run["out"]) == (found["confirmation"]["beats_default"] != "yes")


def test_all_stores_agree_and_mlflow_has_every_finalist_with_its_evaluations(run: dict[str, Any]) -> None:
    found = results_of(run["folder"])
    assert found["consistency"] == []
    assert check.main([str(run["folder"])]) == 0
    with sqlite3.connect(run["folder"] / "mlflow.db") as store:
        tags = store.execute("select value, run_uuid from tags where key = 'training'").fetchall()
        scores = {
            int(number): [row[0] for row in store.execute(
                "select value from metrics where key = 'score' and run_uuid = ? order by step", (run_id,))]
            for number, run_id in tags
        }  # fmt: skip
        (mean,) = store.execute("select value from latest_metrics where key = 'confirmed/mean'").fetchall()
    trainings = {t["number"]: t for one in found["confirmation"]["finalists"] for t in one["trainings"]}
    assert {number: values[-1] for number, values in scores.items()} == {n: t["score"] for n, t in trainings.items()}
    assert {len(values) for values in scores.values()} == {2}
    assert mean == (found["champion"]["confirmed"]["mean"],)
