"""Everything wrong with a command line is told at once, each in a sentence, and nothing twice."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from model.config import ConfigError
from tuner import search
from tuner.config import options as search_options
from tuner.config.names import LONGEST
from tuner.config.options import Options
from tuner.search.plan import make
from tuner.search.plan.resolve import run_dir_of


def problems_of(**options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make(Options(**options), has_gpu=False)  # type: ignore[arg-type]
    return list(caught.value.problems)


def test_options_space_metric_goals_and_data_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "ids-sst-train.csv").write_text("id\tsentence\tsentiment\n1\tgood\t9\n")
    found = problems_of(
        profile="laptop", data=str(tmp_path), tasks="sst", metric="sst/acc", trials=0, time_budget="soon", gpu_hours=3.0,
        pruner="med", tracking_uri="ftp://x", require=("sst/accuracy",), runs_dir=str(tmp_path),
    )  # fmt: skip
    wanted = (
        "--trials 0",
        "--time-budget soon",
        "--pruner med",
        "unknown metric sst/acc",
        "--require sst/acc",
        "--tracking-uri ftp",
    )
    assert [problem.startswith(word) for problem, word in zip(found, wanted, strict=False)] == [True] * len(wanted)
    assert any("ids-sst-dev.csv" in problem for problem in found[6:]), "the data are read although the metric is wrong"


def test_what_needs_a_broken_part_is_not_guessed_at(tmp_path: Path) -> None:
    """Without a space there is no metric to check, and no gang to check budgets against."""
    found = problems_of(space="smart_mlt", metric="sst/acc", gpu_hours=3.0, pruner="med", runs_dir=str(tmp_path))
    assert len(found) == 2
    assert [word in problem for word, problem in zip(("smart_mlt", "--pruner med"), found, strict=True)] == [True, True]


def test_placement_and_storage_path_are_checked_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    found = problems_of(profile="laptop", placement="spred", storage_path=str(file / "x"), runs_dir=str(tmp_path))
    assert found[0].startswith("--placement spred (did you mean spread?)") and found[0].endswith("pack, spread")
    assert found[1].startswith(f"--storage-path {file}/x cannot be used: ") and found[1].endswith("s3://bucket/folder")
    assert len(found) == 2
    (problem,) = problems_of(profile="laptop", placement="spread", runs_dir=str(tmp_path))
    assert problem.startswith("--placement spread") and "--storage-path" in problem


def test_a_run_is_named_after_its_space_and_the_time(tmp_path: Path) -> None:
    name = run_dir_of(Options(space=f"space (1){'x' * 100}.yaml", runs_dir=str(tmp_path))).name
    assert re.fullmatch(r"space-1-x+-\d{8}-\d{6}", name) and len(name) == LONGEST
    with pytest.raises(ConfigError, match=r"--name a/b: use letters, digits.*, such as a-b"):
        run_dir_of(Options(name="a/b", runs_dir=str(tmp_path)))


def test_a_storage_path_is_absolute_and_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed search finds it from any other folder."""
    monkeypatch.chdir(tmp_path)
    plan = make(Options(profile="laptop", storage_path="shared", runs_dir=str(tmp_path)), has_gpu=False)
    assert plan.options.storage_path == str(tmp_path / "shared")
    assert plan.store is not None and plan.store.url == str(tmp_path / "shared")
    assert list((tmp_path / "shared").iterdir()) == []


def test_goals_and_budget_are_told_with_the_gang(tmp_path: Path) -> None:
    found = problems_of(
        profile="laptop", metric="sst/accuracy,sts/pearson", pruner="wilcoxon", sampler="gp", target=0.9, gpu_hours=2.0,
        gpus_per_worker=1.5, workers_per_trial=2, runs_dir=str(tmp_path),
    )  # fmt: skip
    for word in ("wilcoxon", "--target 0.9", "--gpus-per-worker 1.5"):
        assert any(word in problem for problem in found), word
    assert not any("--gpu-hours" in problem for problem in found), "whether there are GPUs is not known"


@pytest.mark.parametrize(
    ("kind", "n"), [("float: [0.0, 1.0], step: 1.0e-9", "1e+09"), ("int: [1, 20000000], log: true", "2e+07")]
)
def test_a_sampler_that_lists_values_is_refused_where_there_are_too_many(tmp_path: Path, kind: str, n: str) -> None:
    """Optuna's GPSampler would need gigabytes to terabytes."""
    space = tmp_path / "fine.yaml"
    space.write_text(
        f"metric: sst/accuracy\ntargets: [sst]\nfixed: {{mixture: [sst]}}\nsearch: {{optim.weight_decay: {{{kind}}}}}\n"
    )
    found = problems_of(space=str(space), sampler="gp", profile=None, runs_dir=str(tmp_path))
    assert [problem for problem in found if f"optim.weight_decay has {n} values" in problem and "--sampler tpe" in problem], (
        found
    )


def test_what_paused_trials_keep_on_disk_is_a_note(tmp_path: Path) -> None:
    def notes(pruner: str) -> list[str]:
        options = Options(profile="laptop", pruner=pruner, runs_dir=str(tmp_path))
        return [note for note in make(options, has_gpu=False).notes if "checkpoint" in note]

    assert notes("asha") == []
    assert notes("asha-promote") == [
        "each paused trial keeps a checkpoint of about 0.4 GB in the run's folder until it is promoted or pruned"
    ]


def test_a_dry_run_tells_the_plan_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU that torch can use, though there is an nvidia-smi, the profile is laptop."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert search.main(["--dry-run", "--no-preflight", "--runs-dir", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr().out
    assert "8 full trials' compute, sampler tpe, pruner median" in said
    assert "1 × (1 CPU)" in said
    assert "generated by this project" in said
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_warns_of_dev_rows_in_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, rows = "id\tsentence\tsentiment\n", [f"s{i}\ttext {i}\t{i % 5}\n" for i in range(60)]
    (tmp_path / "ids-sst-train.csv").write_text(header + "".join(rows))
    (tmp_path / "ids-sst-dev.csv").write_text(header + "x\tanother\t1\n" + rows[1] + rows[2].replace("\t2", "\t3"))
    space = tmp_path / "one.yaml"
    fixed = "fixed: {mixture: [sst], budget.examples: 64, budget.evaluations: 2, optim.batch_size: 8}"
    search_part = "search: {optim.lr: {float: [1.0e-5, 1.0e-3]}}"
    space.write_text(f"name: one\nmetric: sst/accuracy\ntargets: [sst]\n{fixed}\n{search_part}\n")
    arguments = ["--space", str(space), "--data", str(tmp_path)]
    assert search.main([*arguments, "--dry-run", "--no-preflight", "--runs-dir", str(tmp_path / "runs")]) == 0
    note = "note       sst: 2 of 3 rows of dev have texts that are in train, 1 of them with another label"
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ('{"space": "smart_mtl", "option_of_tomorrow": 1}', ["no option option_of_tomorrow", "the version of the project"]),
        ('{"space": "smart_mtl", "trials": [3]}', ["trials: Input should be a valid integer", "restore it"]),
        ('{"space": "smart_mtl", "tri', ["is not JSON", "restore it"]),
        ("", ["an empty file", "restore it"]),
    ],
)
def test_a_torn_or_unknown_record_of_options_is_named(tmp_path: Path, text: str, facts: list[str]) -> None:
    path = tmp_path / search_options.FILE_NAME
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        search_options.load(tmp_path)
    assert [fact for fact in (str(path), *facts) if fact not in str(error.value)] == [], error.value


@pytest.mark.parametrize(
    ("file", "begin"), [("space (1).yaml", "space-1-2"), (".my space.yaml", "my-space-2"), ("größe+x.yaml", "gr-e-x-2")]
)
def test_the_default_name_is_valid_for_every_file_name(tmp_path: Path, file: str, begin: str) -> None:
    assert run_dir_of(Options(space=str(tmp_path / file), runs_dir=str(tmp_path))).name.startswith(begin)


def test_a_run_of_an_earlier_version_is_read_without_options_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    search_options.save(Options(name="night", trials=7), folder)
    kept = json.loads((folder / search_options.FILE_NAME).read_text(encoding="utf-8"))
    earlier = {name: value for name, value in kept.items() if name != "max_trials"} | {"rung_resource": "compute"}
    (folder / search_options.FILE_NAME).write_text(json.dumps(earlier), encoding="utf-8")
    assert search_options.load(folder) == Options(name="night", trials=7)
