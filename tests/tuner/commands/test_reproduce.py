"""What is trained again, and when it came to the same. The training itself is in `test_search`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.shape import GangShape
from model.config import ConfigError
from model.data.source import DataSource, inspect
from model.metrics import interval
from tests.support import samples
from tuner.commands.reproduce import command, recorded, verdict
from tuner.commands.reproduce.retrain import RepeatedTrial
from tuner.commands.run_command import WRONG_USAGE
from tuner.config import options
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.results import results_json as results
from tuner.results.trial_record import TrialRecord
from tuner.study import Verdict as Study

OOM = "accumulation 4 after out of memory"
OBJECTIVE = Objective("mean", ("sst", "sts"))


def run(folder: Path, champion: int | None = 0, **changes: Any) -> dict[str, Any]:
    """The record of a run of four trials: complete, pruned at its first evaluation, failed, and cut short."""
    records = [
        samples.record(0, score=0.6),
        replace(samples.record(1, "PRUNED", score=0.3), evaluations=samples.record(1, score=0.3).evaluations[:1]),
        samples.record(2, "FAIL", reason="sst/loss became nan between steps 1 and 10"),
        samples.record(3, "RUNNING"),
    ]
    best = None if champion is None else records[champion]
    facts = samples.facts(folder, gang={"n_workers": 2, "cpus_per_worker": 1, "gpus_per_worker": 0.0})
    values: dict[str, Any] = {"rows": {"sst": {"train": 90, "select": 400}, "sts": {"train": 90, "select": 100}}}
    found = samples.results(facts, records, best, **values | changes)
    folder.mkdir(exist_ok=True)
    options.save(Options(data="demo"), folder)
    results.write(folder / results.FILE_NAME, found)
    return found


def again(one: recorded.RecordedTraining, **changes: Any) -> TrialRecord:
    """A training that came to the same."""
    told = {"metrics": one.metrics, "evaluations": one.evaluations, "score": one.score, "reason": one.reason}
    return TrialRecord(**{"number": 0, "state": one.state, "config": {}, "seconds": 1.0} | told | changes)


def test_the_champion_is_meant_where_no_trial_is_named(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    one = recorded.training(found, None)
    assert (one.name, one.config, one.state, one.score, one.n_evaluations) == ("trial 0", samples.CONFIG, "COMPLETE", 0.6, 10)
    assert recorded.training(found, 1).n_evaluations == 1


def test_a_confirmed_champion_has_a_seed_of_its_own(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    config = found["champion"]["config"] | {"seed": 77}
    found["champion"] |= {"config": config, "score": 0.58, "confirmed": {"training": 1 << 40}}
    found["confirmation"] = {
        "pooled_sd": 0.01,
        "finalists": [{"sd": 0.02, "config": config, "trainings": [{"number": 1 << 40, "note": OOM}]}],
    }
    one = recorded.training(found, None)
    assert (one.name, one.config.seed, one.config.optim.accumulation, one.score) == ("the champion", 77, 4, 0.58)
    chance = verdict.noise(found, one, OBJECTIVE)
    assert chance is not None
    assert chance.reach == pytest.approx(1.96 * math.sqrt(2) * 0.01)
    found["confirmation"]["pooled_sd"] = None
    chance = verdict.noise(found, recorded.training(found, 0), OBJECTIVE)
    assert chance is not None
    assert chance.reach == pytest.approx(1.96 * math.sqrt(2) * 0.02)


@pytest.mark.parametrize(
    ("champion", "number", "said"),
    [
        (None, None, "night has no champion: none of its trials is COMPLETE; name one of its trials, 0, 1, 2, with --trial"),
        (0, 9, "night has no trial 9; the trials that ended are 0, 1, 2"),
        (0, 3, "trial 3 of night has not ended; resume it with --resume night first"),
    ],
)
def test_what_cannot_be_trained_again_is_a_sentence(
    tmp_path: Path, champion: int | None, number: int | None, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        recorded.training(run(tmp_path / "night", champion), number)
    assert error.value.problems == [said]


def test_a_refused_configuration_was_never_trained(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    found["trials"][2]["config"] = {"optim": {"lr": -1}}
    with pytest.raises(ConfigError, match=r"trial 2 was never trained: optim\.lr"):
        recorded.training(found, 2)


@pytest.mark.parametrize(
    "metric", ["mean", "own_mean", "sst/accuracy", "clean/cfimdb/accuracy,cue_gap/cfimdb/accuracy", "sst/f1,mean"]
)
def test_the_goal_is_read_back_from_its_description(metric: str) -> None:
    given = Objective(metric, ("sst", "sts") if "mean" in metric.split(",") else ())
    first = recorded.objective({"metric": given.describe()})
    metrics = {"sst/accuracy": 0.5, "sts/pearson": 0.25, "sst/f1": 0.1, "clean/cfimdb/accuracy": 0.7}
    assert first.score(metrics) == given.score(metrics)


def test_data_are_known_by_their_sha256(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    rows = inspect(DataSource.parse("demo"), ("sst", "sts"))
    found["data"] |= {"sha256": rows.sha256, "rows": rows.rows}
    config = samples.CONFIG
    request = recorded.data(found, tmp_path / "night", None, config)
    assert (request.source.kind, request.tasks, request.max_length) == ("demo", config.mixture, config.max_length)
    found["data"]["sha256"] = "0" * 64
    with pytest.raises(ConfigError, match=r"the data in demo have the SHA-256 .*; name the data that it was"):
        recorded.data(found, tmp_path / "night", None, config)
    with pytest.raises(ConfigError, match="is not a folder"):
        recorded.data(found, tmp_path / "night", str(tmp_path / "moved"), config)


def test_the_gang_is_the_recorded_one(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    assert recorded.gang(found, tmp_path / "night") == GangShape(2, 1, 0.0)
    options.save(Options(workers_per_trial=3, gpus_per_worker=0.0), tmp_path / "night")
    assert recorded.gang({"gang": {}}, tmp_path / "night") == GangShape(3, 1, 0.0)


def test_differences_of_the_environment_are_named() -> None:
    then = {
        "versions": {"torch": "2.12.0", "ray": "2.60.0"},
        "git": {"commit": "a" * 40, "dirty": False},
        "hardware": {"cpu": "X", "gpus": []},
    }
    assert recorded.differences(then, then) == []
    now = {
        "versions": {"torch": "2.13.0", "ray": "2.60.0", "mlflow": None},
        "git": {"commit": "b" * 40, "dirty": True},
        "hardware": {"cpu": "Y", "gpus": [{"name": "H"}]},
    }
    assert recorded.differences(then, now) == [
        "torch was 2.12.0, and is 2.13.0",
        "the commit was aaaaaaaaaaaa, and is bbbbbbbbbbbb",
        "the processor was X, and is Y",
        "the GPUs were none, and are H",
    ]
    dirty = then | {"git": {"commit": "a" * 40, "dirty": True}}
    assert recorded.differences(then, dirty) == ["the commit is the same, with changes that are not committed now"]


def test_equal_is_to_the_last_bit(tmp_path: Path) -> None:
    one = recorded.training(run(tmp_path / "night"), 0)
    assert verdict.verdict(one, again(one), None).word == "equal"
    looks = [dict(look) for look in one.evaluations]
    looks[0]["metrics"] = {**looks[0]["metrics"], "sst/accuracy": math.nextafter(0.5, 1)}
    assert verdict.verdict(one, again(one, evaluations=looks), verdict.Noise(0.1, "x")).word == "matches"
    assert verdict.verdict(one, again(one, evaluations=one.evaluations[:1]), None).word == "differs"


def test_noise_without_a_confirmation_is_of_the_select_examples(tmp_path: Path) -> None:
    """The mean of an accuracy over 400 and a correlation over 100 examples."""
    found = run(tmp_path / "night")
    one = recorded.training(found, 0)
    chance = verdict.noise(found, one, OBJECTIVE)
    assert chance is not None
    bounds = [interval("sst/accuracy", 0.6, 400) or (0, 0), interval("sts/pearson", 0.5, 100) or (0, 0)]
    assert chance.reach == pytest.approx(math.hypot(*((high - low) / 2 for low, high in bounds)) / 2)
    assert 0.05 < chance.reach < 0.12
    near, far = 0.6 + 0.99 * chance.reach, 0.6 - 1.01 * chance.reach
    assert verdict.verdict(one, again(one, score=near), chance).matches
    assert not verdict.verdict(one, again(one, score=far), chance).matches
    assert verdict.noise(found | {"data": {"rows": {}}}, one, OBJECTIVE) is None


def test_failures_are_compared_too(tmp_path: Path) -> None:
    found = run(tmp_path / "night")
    failed, complete = recorded.training(found, 2), recorded.training(found, 0)
    assert verdict.verdict(failed, again(failed), None).word == "equal"
    assert verdict.verdict(failed, again(failed, reason="another"), None).word == "matches"
    assert verdict.verdict(failed, again(complete), None).word == "differs"
    assert verdict.verdict(complete, again(failed), None).word == "differs"


def test_a_pruned_trial_is_trained_to_where_it_was_pruned() -> None:
    trial = RepeatedTrial(samples.CONFIG, OBJECTIVE, n_evaluations=1)
    assert trial.ask() is not None
    assert trial.ask() is None
    assert trial.report(0, samples.evaluation(1, 0.4)) is Study.PRUNE
    assert (trial.record(0).state, trial.record(0).score) == ("PRUNED", 0.45)
    whole = RepeatedTrial(samples.CONFIG, OBJECTIVE, n_evaluations=2)
    whole.ask()
    assert whole.report(0, samples.evaluation(1, 0.4)) is Study.CONTINUE
    assert whole.report(0, samples.evaluation(2, math.nan)) is Study.STOP
    assert whole.record(0).state == "FAIL"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no run nothing"),
        (["night", "--trial", "9"], "no trial 9"),
        (["night"], "name the data that it was trained on with --data"),
        (["empty"], "there is no run empty"),
    ],
)
def test_wrong_usage_is_a_sentence(tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "night")
    (tmp_path / "empty").mkdir()
    assert command.main([*arguments, "--runs-dir", str(tmp_path)]) == WRONG_USAGE
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_the_printer_of_json_is_silent_until_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = recorded.training(run(tmp_path / "night"), 0)
    for is_silent, shown in ((True, ""), (False, "evaluation 1 of 2  step 10  score 0.5000  recorded 0.5000  equal\n")):
        command.ProgressPrinter(one, is_silent=is_silent).evaluated(0, samples.evaluation(1, 0.5), 0.5)
        assert capsys.readouterr().out == shown
    assert json.loads((tmp_path / "night" / "results.json").read_text())["gang"]["n_workers"] == 2
