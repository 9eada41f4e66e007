"""A whole search with its confirmation: interrupted in its trials, killed in the confirmation, and another's source.

Nothing is a stand-in.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import statistics
from pathlib import Path
from typing import Any

import pytest

from model import train
from model.saved_model import folder as saved_model
from tests.support.searches import command, finish, lend_tokens, results_of, run_command, search_here, wait_for, write_space
from tuner.commands import check

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
WIDER = SPACE.replace("1.0e-2]", "1.0e-1]").replace("sampler: random, ", "") + "  optim.warmup: {{float: [0.0, 0.2]}}\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """Two trials, then the best one and the default on two seeds each. The user interrupts the first session after a trial; the
    second is killed after the first training of the confirmation."""
    folder = tmp_path_factory.mktemp("confirmed")
    space = write_space(folder, tiny_backbone, SPACE)
    lend_tokens(folder)
    first = command("--space", str(space), "--runs-dir", str(folder), "--name", "one", "--max-concurrent", "1")
    wait_for(first, "COMPLETE")
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = finish(first)
    interrupted = {"status": first.returncode, "out": out, "err": err, "results": results_of(folder / "one")}

    second = command("--resume", "one", "--runs-dir", str(folder))
    assert second.stderr is not None
    before = []
    for line in second.stderr:
        before.append(line)
        if line.startswith("finalist") and "COMPLETE" in line:
            break
    second.send_signal(signal.SIGKILL)
    finish(second)
    killed = results_of(folder / "one")

    done = search_here("--resume", "one", "--runs-dir", str(folder))
    assert done.status == 0, done.err
    found = {"folder": folder / "one", "results": results_of(folder / "one"), "done": done}
    return {**found, "interrupted": interrupted, "killed": killed, "before": before}


def counted(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [trial for trial in results["trials"] if trial["reason"] != "interrupted"]


def best(results: dict[str, Any]) -> dict[str, Any]:
    return max(counted(results), key=lambda trial: trial["score"])


def test_an_interrupted_search_is_saved_and_goes_on(run: dict[str, Any]) -> None:
    session, after = run["interrupted"], run["results"]
    assert session["status"] == 130, session["err"]
    assert "Traceback" not in session["err"]
    assert f"--resume one --runs-dir {run['folder'].parent}" in session["out"]
    before = session["results"]
    assert before["finished"] is None
    done = {trial["number"]: trial for trial in before["trials"] if trial["state"] == "COMPLETE"}
    assert done
    assert {number: after["trials"][number] for number in done} == done, "what was finished stays as it was"
    assert len(counted(after)) == 2
    assert after["mlflow"]["run_id"] == before["mlflow"]["run_id"]


def test_what_was_killed_has_a_champion_and_goes_on(run: dict[str, Any]) -> None:
    assert run["killed"]["finished"] is None
    assert run["killed"]["confirmation"] is None
    assert run["killed"]["champion"]["confirmed"] is None
    said = [*run["before"], *run["done"].err.splitlines()]
    done = [line.partition("  ")[0] for line in said if "  COMPLETE" in line]
    assert len(done) == len(set(done)) == 4, "no training was done twice"
    assert run["done"].err.startswith("confirming the finalists: 3 trainings\n")


def test_both_finalists_were_trained_on_fresh_seeds_at_full_budget(run: dict[str, Any]) -> None:
    found = run["results"]
    told = found["confirmation"]
    assert {one["name"] for one in told["finalists"]} == {"default", f"trial {best(found)['number']}"}
    seeds = {tuple(training["seed"] for training in one["trainings"]) for one in told["finalists"]}
    assert seeds == {tuple(told["seeds"])}
    assert not {trial["config"]["seed"] for trial in found["trials"]} & set(told["seeds"])
    for one in told["finalists"]:
        assert [training["state"] for training in one["trainings"]] == ["COMPLETE"] * 2
        assert one["mean"] == pytest.approx(statistics.fmean(training["score"] for training in one["trainings"]))
        assert one["sd"] == pytest.approx(statistics.stdev(training["score"] for training in one["trainings"]))
    tuned = next(one for one in told["finalists"] if not one["is_default"])
    assert tuned["optimism"] == pytest.approx(tuned["search_score"] - tuned["mean"])
    assert len(counted(found)) == 2, "finalists are no trials"


def test_dev_is_what_the_kept_models_say_of_it(run: dict[str, Any]) -> None:
    """Computed again by `model.train` from the weights: champion, and the model that is kept of each finalist."""
    found = run["results"]
    trainings = {t["number"]: t for one in found["confirmation"]["finalists"] for t in one["trainings"]}
    kept = {int(path.name): path for path in (run["folder"] / "confirmation" / "models").iterdir()}
    assert set(kept) <= set(trainings)
    assert len(kept) == 2
    expected = {path: trainings[number]["dev"] for number, path in kept.items()}
    champion = Path(found["champion"]["path"])
    assert found["champion"]["dev"] == trainings[found["champion"]["confirmed"]["training"]]["dev"]
    for path, metrics in {**expected, champion: found["champion"]["dev"]}.items():
        assert evaluated(path, "--split", "dev") == pytest.approx(metrics, abs=1e-9)
    assert evaluated(champion) == pytest.approx(found["champion"]["metrics"], abs=1e-6)
    assert saved_model.read(champion).config.seed == found["champion"]["confirmed"]["seed"]


def evaluated(model: Path, *arguments: str) -> dict[str, float]:
    done = run_command(train.main, "--evaluate-only", "--model", str(model), *arguments)
    assert done.status == 0, done.err
    found: dict[str, float] = done.events[-1]["metrics"]
    return found


def test_the_champion_and_the_comparison_follow_from_the_finalists(run: dict[str, Any]) -> None:
    found = run["results"]
    first, second = found["confirmation"]["finalists"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["mean"] >= second["mean"], "with as many seeds each, and one spread for both, the mean decides"
    assert (found["champion"]["number"], found["champion"]["confirmed"]["mean"]) == (first["trial"], first["mean"])
    (comparison, *_) = found["confirmation"]["comparisons"]
    means = [statistics.fmean(t["dev_score"] for t in one["trainings"]) for one in (first, second)]
    assert comparison["difference"] == pytest.approx(means[0] - means[1])
    assert comparison["low"] <= comparison["difference"] <= comparison["high"]
    assert found["confirmation"]["beats_default"] in ("yes", "no", "undecided")
    assert ("UNTUNED DEFAULT" in run["done"].out) == (found["confirmation"]["beats_default"] != "yes")


def test_all_stores_agree_and_mlflow_has_every_finalist_with_its_evaluations(run: dict[str, Any]) -> None:
    found = run["results"]
    assert found["consistency"] == []
    assert run_command(check.main, str(run["folder"])).status == 0
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


@pytest.mark.endurance
def test_another_search_starts_from_it_and_goes_on_without_it(run: dict[str, Any], tiny_backbone: Path) -> None:
    folder = run["folder"].parent
    where = ["--runs-dir", str(folder), "--max-concurrent", "1", "--finalists", "0"]
    given = ["--space", str(write_space(folder, tiny_backbone, WIDER)), "--name", "second", "--warm-start", "one", *where]
    dry = search_here(*given, "--dry-run")
    assert dry.status == 0, dry.err
    usable = len(counted(run["results"]))
    assert f"{usable} of {len(run['results']['trials'])} trials of one can be used" in dry.out
    done = search_here(*given)
    assert done.status == 0, done.err
    assert "1 earlier configurations were tried first" in done.out
    assert run["results"]["warm_start"] is None
    found = results_of(folder / "second")
    assert [trial["number"] for trial in found["trials"]] == [0, 1]
    for same in ("config", "score"):  # the same configuration, data and seed
        assert found["trials"][0][same] == best(run["results"])[same]
    (source,) = found["warm_start"]["sources"]
    assert (source["name"], source["used"], source["compared"]) == ("one", usable, usable)
    assert found["warm_start"]["n_started"] == 1

    away = run["folder"].rename(folder / "away")
    try:
        again = search_here("--resume", "second", "--trials", "3", *where[:4])
    finally:
        away.rename(run["folder"])
    assert again.status == 0, again.err
    after = results_of(folder / "second")
    assert len(after["trials"]) == 3
    assert after["warm_start"]["sources"] == [source]
    assert (after["warm_start"]["n_remembered"], after["warm_start"]["n_started"]) == (usable, 1)
