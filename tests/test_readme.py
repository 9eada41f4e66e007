"""What the README says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from model import predict, train
from model.cues import __main__ as cues
from model.tasks import Task
from tuner import options, space
from tuner.simulate import options as simulate

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(module: str) -> list[list[str]]:
    """Arguments of every command line in the README that runs `module`."""
    lines = [line.partition("#")[0] for block in blocks("sh") for line in block.splitlines()]
    inline = re.findall(r"`(python -m [^`]*)`", README)
    return [shlex.split(line)[3:] for line in (*lines, *inline) if f"-m {module}" in line]


def test_names_every_option() -> None:
    offered = {flag for action in options.parser()._actions for flag in action.option_strings if flag.startswith("--")}
    table = README.partition("## Options")[2].partition("## What a run leaves")[0]
    assert set(re.findall(r"--[a-z][a-z-]+", table)) == offered


def test_commands_are_understood() -> None:
    for arguments in commands("model.predict"):
        predict.parser().parse_args(arguments)
    for arguments in commands("model.train"):
        train.parser().parse_args(arguments)
    cue_commands = commands("model.cues")
    assert {arguments[0] for arguments in cue_commands} == {"build", "evaluate"}
    for arguments in cue_commands:
        cues.parser().parse_args(arguments)
    simulations = commands("tuner.simulate")
    assert len(simulations) == 3
    for arguments in simulations:
        simulate.parser().parse_args(arguments)
    searches = [arguments for arguments in commands("tuner.search") if arguments != ["--help"]]
    assert searches
    for arguments in searches:
        options.parser().parse_args(arguments)


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (search|test)", README):
        assert f"\n{target}:" in makefile


def test_space_of_your_own_loads(tmp_path: Path) -> None:
    (example,) = blocks("yaml")
    path = tmp_path / "warm.yaml"
    path.write_text(example, encoding="utf-8")
    assert [parameter.name for parameter in space.load(path).parameters] == [
        "optim.lr",
        "optim.batch_size",
        "smart.enabled",
        "smart.steps",
    ]


def test_task_of_your_own_is_a_task() -> None:
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(example, names)
    task = names["NEWS"]
    assert isinstance(task, Task)
    assert (task.n_classes, task.metric) == (4, "news/accuracy")
    assert len(task.label_names) == task.n_classes


@pytest.mark.parametrize("name", re.findall(r"`(model/[a-z_/]+\.py|tuner/[a-z_/]+\.py|search_spaces/|cluster/|docs/)`", README))
def test_files_exist(name: str) -> None:
    if name != "model/tasks/news.py":  # the reader's own
        assert (ROOT / name).exists()
