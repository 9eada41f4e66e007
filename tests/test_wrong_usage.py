"""Wrong usage of each command: exit status 2, sentences with the value that was given, no traceback, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model import predict, train
from model.cues import __main__ as cues
from tuner import commands

COMMANDS = {
    "train": train.main,
    "predict": predict.main,
    "cues": cues.main,
    **{name: command.load() for name, command in commands.COMMANDS.items()},
}
WRONG = """
search --space smart_mtll --data FOLDER/none --trials 0 --sampler tp | mean smart_mtl? | FOLDER/none | --trials 0 | mean tpe?
search --space smart_mtll | smart_mtll | did you mean smart_mtl? | paper_table1
search --space FOLDER/none.yaml | FOLDER/none.yaml | smart_mtl
search --profile lapdog | lapdog | laptop, gpu
search --profile laptop --trials 0 --seed -1 --checkpoint-every -1 | --trials 0: | 1 or more | -every -1: | --seed -1: | 0 to 2
search --profile laptop --collective-timeout 0 | --collective-timeout 0 | more than 0
search --profile laptop --quiet --json | --quiet | --json
search --profile laptop --set optim.lr | --set optim.lr | NAME=VALUE
search --profile laptop --set optim.lr=[ | --set optim.lr=[
search --profile laptop --set optim.lrr=1 | optim.lrr | did you mean optim.lr?
search --profile laptop --set optim.lr=-1 | optim.lr | greater than 0 | -1
search --profile laptop --set mixture=[sst,news] | mixture | news | sst, quora, sts, cfimdb
search --profile laptop --set smart.sigma=0 | smart.sigma is 0 | 1.0e-5
search --profile laptop --set engine.zero_stage=3 | zero_stage is 3 | 0, 1 or 2 | engine.allow_zero3
search --profile laptop --data FOLDER/none | --data FOLDER/none | demo, hub or hub=DIR
search --profile laptop --data FOLDER | FOLDER/ids-sst-train.csv | FOLDER/ids-cfimdb-dev.csv | --tasks
search --profile laptop --tasks news | --tasks news | sst, quora, sts, cfimdb
search --profile laptop --metric accuracy | metric accuracy | did you mean sst/accuracy? | own_mean
search --profile laptop --metric dev/sst/accuracy | dev/sst/accuracy
search --profile laptop --metric sst/accuracy,sst/accuracy | sst/accuracy,sst/accuracy | twice
search --profile laptop --metric cue_gap/cfimdb/accuracy | cannot be the first metric | clean/cfimdb/accuracy,cue_gap
search --profile laptop --metric clean/cfimdb/accuracy | clean/cfimdb/accuracy | watch=[clean]
search --profile laptop --require sst/accuracy | --require sst/accuracy | METRIC>=NUMBER
search --profile laptop --require sst/accuracy>=80 | --require sst/accuracy>=80 | -1 to 1
search --profile laptop --require sst/accuracy>=x | --require sst/accuracy>=x | number
search --profile laptop --require no-negative-transfer:2 | --require no-negative-transfer:2 | 0 to 1
search --profile laptop --sampler tp --pruner medium | --sampler tp | mean tpe? | nsga2 | --pruner medium | mean median? | asha
search --profile laptop --sampler grid | grid | optim.lr | `step`
search --profile laptop --metric sst/accuracy,sts/pearson --pruner hyperband | --pruner hyperband | sst/accuracy,sts/ | asha
search --profile laptop --metric sst/accuracy,sts/pearson --sampler cmaes | --sampler cmaes | sst/accuracy,sts/ | tpe, random
search --profile laptop --metric sst/accuracy,sts/pearson --target 0.5 | --target 0.5 | sst/accuracy,sts/pearson
search --profile laptop --time-budget soon --trials 0 | --time-budget soon | 2h30m | --trials 0
search --profile laptop --gpu-hours 2 --gpus-per-worker 0 --target 85 | --gpu-hours 2 | --target 85
search --profile laptop --gpu-hours 1 --gpus-per-worker 0 | --gpu-hours 1 | no GPU | --time-budget | --gpus-per-worker
search --profile gpu --gpu-hours 0 | --gpu-hours 0 | more than 0
search --profile laptop --target 85 | --target 85 | -1 to 1
search --profile laptop --gpus-per-worker 1.5 | --gpus-per-worker 1.5 | below 1
search --profile laptop --gpus-per-worker 0.5 --workers-per-trial 2 | --gpus-per-worker 0.5 | 2 workers | --workers-per-trial 1
search --profile laptop --workers-per-trial 7 | optim.batch_size 16 | 7 rank(s) | multiple of 7
search --profile laptop --set budget.examples=16 --set optim.batch_size=16 | budget.evaluations is 10 | at most 1
search --profile laptop --backbone ./none | ./none | `embedded`
search --profile laptop --name a/b | --name a/b | letters
search --profile laptop --name night | --name night | --resume night
search --profile laptop --storage mysql | mysql | sqlite:///
search --profile laptop --tracking-uri ftp://x | --tracking-uri ftp://x | sqlite:///
search --profile laptop --warm-start nothing | --warm-start nothing | FOLDER/runs | --tracking-uri
search --resume nothing | nothing | FOLDER/runs | night
search --resume night --seed 3 | --seed
search --resume night --space smart_mtl | --space
train | --config FILE | --evaluate-only
train --config FOLDER/none.yaml | FOLDER/none.yaml
train --config FOLDER/broken.yaml | FOLDER/broken.yaml | not YAML | line 1
train --config FOLDER/list.yaml | FOLDER/list.yaml | mapping
train --config FOLDER/wrong.yaml | FOLDER/wrong.yaml | optim.lrr | did you mean optim.lr?
train --config FOLDER/wrong.yaml --out FOLDER | --out FOLDER | empty
train --evaluate-only | --evaluate-only | --model DIR
train --evaluate-only --model FOLDER | FOLDER | config.yaml
predict --model FOLDER --task sst text | FOLDER | config.yaml
predict --model FOLDER --task ss text | ss | sst, quora, sts, cfimdb
predict --model FOLDER --task sts text | sts | two texts | given 1
predict --model FOLDER --task sst EMPTY | sst | empty
cues build --data FOLDER/none --out FOLDER/cues | --data FOLDER/none | demo, hub or hub=DIR
cues build --data demo --out FOLDER | --out FOLDER | empty
cues build --data demo --out FOLDER/cues --rho 2 | --rho | 2 | 0 to 1
cues evaluate --model FOLDER --cues FOLDER | FOLDER | manifest.json | `build`
simulate --policy tpe --repetitions 0 | --policy tpe | tpe+median | --repetitions 0 | 1 or more | --record RUN
simulate --record FOLDER/runs/night --policy tpe+middle | middle | median, percentile
simulate --record FOLDER/runs/none | FOLDER/runs/none
check nothing | nothing | FOLDER/runs | night
status nothing | nothing | FOLDER/runs | night
report --paper nothing | nothing | FOLDER/runs | night
report --paper night | FOLDER/runs/night/results.json
export nothing --to FOLDER/x | nothing | FOLDER/runs | night
export night --to FOLDER/x | FOLDER/runs/night/results.json
register nothing | nothing | FOLDER/runs | night
reproduce nothing | nothing | FOLDER/runs | night
reproduce night | FOLDER/runs/night/results.json
"""
"""A command line, then what must be said: the name, the value given, what is allowed or what to do."""
CASES = [line.split(" | ") for line in WRONG.strip().splitlines()]
WITH_RUNS = ("search", "check", "status", "report", "export", "register", "reproduce")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with mistakes, and a run `night` that has only begun."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "broken.yaml").write_text("optim: {lr: [", encoding="utf-8")
    (folder / "list.yaml").write_text("- 1\n", encoding="utf-8")
    (folder / "wrong.yaml").write_text("optim: {lrr: 1}\n", encoding="utf-8")
    (folder / "runs" / "night").mkdir(parents=True)
    (folder / "runs" / "night" / "search.json").write_text('{"space": "smart_mtl"}\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES, ids=[line for line, *_ in CASES])
def test_wrong_usage_is_told_and_writes_nothing(
    case: list[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    line, *facts = (part.strip().replace("FOLDER", str(folder)) for part in case)
    command, *arguments = line.replace("EMPTY", "").split(" ")
    before = content_of(folder)
    runs = ["--runs-dir", str(folder / "runs")] if command in WITH_RUNS else []
    assert COMMANDS[command]([*arguments, *runs]) == 2
    shown = capsys.readouterr()
    assert [fact for fact in facts if fact not in shown.err] == [], shown.err
    assert "Traceback" not in shown.err + shown.out
    assert "Error(" not in shown.err
    for sentence in shown.err.splitlines():
        assert len(sentence) < 1000, "a message is to be read"
        assert len(re.findall(r"\w{2,}", sentence)) >= 3, f"{sentence!r} is no sentence"
    assert content_of(folder) == before, "nothing is written"


def content_of(folder: Path) -> dict[Path, bytes | None]:
    """Every path in it, with the bytes of files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
