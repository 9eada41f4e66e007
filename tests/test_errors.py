"""What a user reads when something is wrong: each message is in `docs/errors.md`, and is sentences, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model import predict, train
from model.cues import __main__ as cues
from tests import messages
from tuner import check, export, registry, report, search, status
from tuner.reproduce import __main__ as reproduce
from tuner.simulate import __main__ as simulate

PAGE = (messages.ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`+) ?(.+?) ?\1 \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
LISTED = [match[2].replace("\\|", "|") for match in ROW.finditer(PAGE)]

COMMANDS = {
    "search": search.main,
    "train": train.main,
    "predict": predict.main,
    "cues": cues.main,
    "simulate": simulate.main,
    "check": check.main,
    "status": status.main,
    "report": report.main,
    "export": export.main,
    "registry": registry.main,
    "reproduce": reproduce.main,
}

WRONG = """
search --space smart_mtll | there is no space smart_mtll
search --space FOLDER/none.yaml | there is no file
search --profile lapdog | unknown profile lapdog
search --profile laptop --trials 0 --seed -1 --checkpoint-every -1 | --trials 0: give 1 or more
search --profile laptop --collective-timeout 0 | give seconds, more than 0
search --profile laptop --quiet --json | --quiet and --json exclude each other
search --profile laptop --set optim.lr | is not NAME=VALUE
search --profile laptop --set optim.lr=[ | cannot be read as a value
search --profile laptop --set optim.lrr=1 | optim.lrr
search --profile laptop --set optim.lr=-1 | optim.lr: input should be greater than 0
search --profile laptop --set mixture=[sst,news] | mixture names news
search --profile laptop --set smart.sigma=0 | smart.sigma is 0
search --profile laptop --set engine.zero_stage=3 | zero_stage is 3
search --profile laptop --data FOLDER/none | is no folder
search --profile laptop --data FOLDER | to search over fewer tasks
search --profile laptop --tasks news | --tasks news: name one or more of
search --profile laptop --metric accuracy | unknown metric accuracy
search --profile laptop --metric dev/sst/accuracy | nothing is chosen on what is reported
search --profile laptop --metric sst/accuracy,sst/accuracy | names a goal twice
search --profile laptop --metric cue_gap/cfimdb/accuracy | is least for a model that knows nothing
search --profile laptop --metric clean/cfimdb/accuracy | watch
search --profile laptop --require sst/accuracy | is not METRIC>=NUMBER
search --profile laptop --require sst/accuracy>=80 | 80 % is 0.8
search --profile laptop --require sst/accuracy>=x | x is not a number
search --profile laptop --require no-negative-transfer:2 | give a margin from 0 to 1
search --profile laptop --sampler tp --pruner medium | did you mean tpe?
search --profile laptop --sampler grid | the sampler grid needs a choice
search --profile laptop --metric sst/accuracy,sts/pearson --pruner hyperband | judges by one goal
search --profile laptop --metric sst/accuracy,sts/pearson --sampler cmaes | follows one goal
search --profile laptop --metric sst/accuracy,sts/pearson --target 0.5 | is a score of one goal
search --profile laptop --time-budget soon | give a time such as 2h30m
search --profile laptop --gpu-hours 1 --gpus-per-worker 0 | the trials have no GPU
search --profile laptop --cpu-hours 0 | give a number above 0
search --profile laptop --target 85 | scores go from -1 to 1
search --profile laptop --on-budget stop | choose one of finish, cut
search --profile laptop --gpus-per-worker 1.5 | give 0, a fraction below 1, or a whole number
search --profile laptop --gpus-per-worker 0.5 --workers-per-trial 2 | NCCL does not let two ranks
search --profile laptop --workers-per-trial 7 | does not divide over 7 rank(s)
search --profile laptop --set budget.examples=16 --set optim.batch_size=16 | each evaluation needs a step of its own
search --profile laptop --backbone ./none | there is no such folder
search --profile laptop --name a/b | use letters, digits
search --profile laptop --name night | exists already
search --profile laptop --storage mysql | is neither
search --profile laptop --tracking-uri ftp://x | is not a store that MLflow can use
search --profile laptop --warm-start nothing | neither a run in
search --resume nothing | there is no run nothing
search --resume night --seed 3 | leave out --seed
train | --config FILE is missing
train --config FOLDER/none.yaml | cannot read
train --config FOLDER/broken.yaml | is not YAML
train --config FOLDER/list.yaml | must hold a mapping of settings
train --config FOLDER/wrong.yaml | unknown setting optim.lrr (did you mean optim.lr?)
train --config FOLDER/wrong.yaml --out FOLDER | is not an empty folder
train --evaluate-only | needs --model DIR
train --evaluate-only --model FOLDER | is not a saved model
predict --model FOLDER --task sst text | is not a saved model
predict --model FOLDER --task ss text | there is no task ss (did you mean s
predict --model FOLDER --task sts text | takes two texts, given 1
predict --model FOLDER --task sst EMPTY | is empty
cues build --data FOLDER/none --out FOLDER/cues | is no folder
cues build --data demo --out FOLDER | is not an empty folder
cues build --data demo --out FOLDER/cues --rho 2 | must be from 0 to 1
cues evaluate --model FOLDER --cues FOLDER | holds no cue data set
simulate --synthetic --policy tpe | is not SAMPLER+PRUNER
simulate --policy tpe+median | give either --record RUN
simulate --synthetic --policy tpe+middle | unknown pruner middle
simulate --synthetic --repetitions 0 | give
check nothing | there is no run nothing
status nothing | there is no run nothing
report --paper nothing | there is no run nothing
report --paper night | does not exist
export nothing --to FOLDER/x | there is no run nothing
export night --to FOLDER/x | does not exist
registry nothing | there is no run nothing
reproduce nothing | there is no run nothing
reproduce night | does not exist
"""
CASES = [tuple(part.strip() for part in line.split(" | ")) for line in WRONG.strip().splitlines()]
WITH_RUNS = ("search", "check", "status", "report", "export", "registry", "reproduce")


def test_every_message_of_the_sources_is_listed() -> None:
    templates = {text for texts in messages.all_templates().values() for text in texts}
    assert len(templates) > 200
    assert sorted(templates - set(LISTED)) == [], "docs/errors.md lacks these: add a row with cause and mend for each"
    assert sorted(set(LISTED) - templates) == [], "docs/errors.md has rows for what is said no longer"


def test_every_row_has_a_cause_and_a_mend() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| message ")]
    assert len(rows) == len(LISTED)
    assert len(set(LISTED)) == len(LISTED)


def test_templates_are_found_where_users_are_spoken_to() -> None:
    source = """
def f(x):
    problems = [f"the value {x} is wrong"]
    problems.append("another thing is wrong")
    if x:
        raise ConfigError([f"{a}: a rather " "long message" for a in x])
    print(f"said to {x} on stderr", file=sys.stderr)
    print("said on standard output")
"""
    assert messages.templates(source) == [
        "the value … is wrong",
        "another thing is wrong",
        "…: a rather long message",
        "said to … on stderr",
    ]


def test_messages_of_helpers_are_found() -> None:
    """Wherever they are: in the module, in a method, in another module; a clause of a longer message is none."""
    source = """
from tuner.nodes import _sentence
from tuner import patience

MENDS = {"a": "mend the first of them", "b": "mend the other one"}

class Search:
    def look(self, x):
        tell_stderr(self._told(x))
        raise ConfigError([_too_large(x), MENDS[x], *others(x)])

    def _told(self, x):
        words = "the search waits for room" if x else "the search goes on"
        return words

def _too_large(x):
    return f"the model {x} does not fit; {_mend(x)}"

def _mend(x):
    return "take a smaller one or none"

def others(x):
    yield _sentence("node", None, x, "it is not there")

def unheard(x):
    return "this is told to nobody"

def fails(study):
    study.fail(3, "the trial diverged at once")
"""
    found = messages.templates(source)
    for text in (
        "the search waits for room",
        "the search goes on",
        "the model … does not fit; …",
        "mend the first of them",
        "mend the other one",
        "the node … does not share the run's folder … (…); …",
        "the trial diverged at once",
    ):
        assert text in found
    assert "take a smaller one or none" not in found
    assert "this is told to nobody" not in found


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


@pytest.mark.slow
@pytest.mark.parametrize(("line", "said"), CASES, ids=[line for line, _ in CASES])
def test_a_mistake_is_told_in_sentences(line: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, *arguments = line.replace("FOLDER", str(folder)).replace("EMPTY", "").split(" ")
    before = sorted(folder.rglob("*"))
    runs = ["--runs-dir", str(folder / "runs")] if command in WITH_RUNS else []
    assert COMMANDS[command]([*arguments, *runs]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err + shown.out
    assert "Error(" not in shown.err
    for sentence in shown.err.splitlines():
        assert len(sentence) < 1000, "a message is to be read"
        assert len(re.findall(r"\w{2,}", sentence)) >= 3, f"{sentence!r} is no sentence"
    assert sorted(folder.rglob("*")) == before, "nothing is written"
