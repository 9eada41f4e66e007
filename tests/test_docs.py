"""The pages under docs/: commands parse, links lead somewhere, examples load, and the tutorial's commands run in order."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from docs import pictures, reference
from model.data import demo
from model.tasks import TASKS, Task
from tests.support import raylets
from tests.support.browser import missing
from tests.support.searches import results_of, run_command
from tuner import space

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
HOW_TOS = sorted((DOCS / "how-to").glob("*.md"))
WITH_COMMANDS = [ROOT / "README.md", ROOT / "cluster" / "README.md", DOCS / "tutorial.md", *HOW_TOS]
WITH_COMMANDS += [DOCS / f"{name}.md" for name in ("quickstart-gpu", "quickstart-cluster")]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "cluster" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
PARSERS = {parser.prog: parser for parser in reference.parsers()}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def tutorial() -> list[str]:
    """The tutorial's commands, in order."""
    return [line for block in blocks(DOCS / "tutorial.md", "sh") for line in block.splitlines() if line.strip()]


def test_the_tutorial_goes_the_whole_way() -> None:
    commands = "\n".join(tutorial())
    for part in ["model.data.demo", "--dry-run", "status", "--resume", "check", "export", "register", "serve", "curl"]:
        assert part in commands


@pytest.mark.endurance
def test_the_tutorials_commands_work_in_order(tmp_path: Path, tiny_backbone: Path) -> None:
    """As a shell would run them in an empty folder, with less to train. The server runs until its last command has answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    name, servers, answers = "", [], {}
    try:
        for line in tutorial():
            command = line.replace("smart_mtl-NAME", name).replace("5001", port)
            if "--data data --tasks" in command:
                command += f" --backbone {tiny_backbone}"
            if "tuner.search" in command:
                command += " --no-dashboard --finalists 1 --seeds 1"
            if "models serve" in command:
                quiet = subprocess.DEVNULL
                server = subprocess.Popen(
                    command, shell=True, cwd=tmp_path, env=env, stdout=quiet, stderr=quiet, start_new_session=True
                )
                servers.append(server)
                continue
            answers[line] = ask(command, tmp_path, env) if servers else run(command, tmp_path, env)
            if "tuner register" in command:
                name = re.findall(r"smart_mtl-[0-9a-f]{8}", answers[line])[0]
    finally:
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, 15)
            server.wait(timeout=30)
    *_, last = answers.values()
    (served,) = json.loads(last)["predictions"]
    (predicted,) = [answer for line, answer in answers.items() if line.startswith("python exported/predict.py")]
    assert predicted.split("\t")[0] == served["label"]
    results = json.loads((tmp_path / "runs" / "first" / "results.json").read_text(encoding="utf-8"))
    assert len(results["trials"]) >= 3


def main_of(module: str) -> Callable[[list[str]], int]:
    """The `main` that `python -m MODULE` runs."""
    imported = importlib.import_module(module)
    entry = importlib.import_module(f"{module}.__main__") if hasattr(imported, "__path__") else imported
    main: Callable[[list[str]], int] = entry.main
    return main


@pytest.mark.cluster
@pytest.mark.slow
def test_what_the_tutorial_does_with_a_search_works(
    tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search, then each command that neither searches again nor serves, in this process."""
    monkeypatch.chdir(tmp_path)
    answers = {}
    for module, *arguments in commands_of(DOCS / "tutorial.md"):
        if "--dry-run" in arguments or "--resume" in arguments:
            continue
        if module == "tuner.search":
            arguments += ["--no-dashboard", "--no-preflight", "--finalists", "0", "--backbone", str(tiny_backbone)]
            raylets.join_shared()
        done = run_command(main_of(module), *arguments)
        assert done.status in (0, None), f"{module} {arguments}\n{done.err}"
        answers[module, arguments[0]] = done.out
    assert len(answers) >= 8
    assert re.search(r"smart_mtl-[0-9a-f]{8}", answers["tuner", "register"])
    assert len(results_of(tmp_path / "runs" / "first")["trials"]) == 2
    assert Path("exported", "predict.py").is_file()


def run(command: str, folder: Path, env: dict[str, str]) -> str:
    """What a command of the tutorial prints; it must succeed."""
    done = subprocess.run(command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def ask(command: str, folder: Path, env: dict[str, str]) -> str:
    """The output of a request to the server, repeated until it answers."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done = subprocess.run(command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0 and done.stdout.startswith("{"):
            return done.stdout
        time.sleep(0.5)
    raise TimeoutError("the model was not served")


def commands_of(page: Path) -> list[list[str]]:
    """The module and the arguments of every `python -m` of the project on a page, in a block or in a line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"```(?:sh|text)\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("  #")[0] for block in fenced for line in block.splitlines()]
    lines += re.findall(r"`([^`]*python -m [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    commands = [line.partition("python -m ")[2] for line in lines if "python -m " in line]
    return [shlex.split(command) for command in commands if command.startswith(("tuner", "model."))]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_commands_parse(page: Path) -> None:
    for module, *arguments in commands_of(page):
        if module == "tuner" and arguments and arguments[0] != "--help":
            module, *arguments = f"tuner {arguments[0]}", *arguments[1:]
        parser = PARSERS.get(f"python -m {module}")
        if parser is None:  # a module whose options are not in the reference
            assert module == "model.data.demo"
        elif arguments and arguments != ["--help"]:
            parser.parse_args(arguments)


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_options_that_are_named_exist(page: Path) -> None:
    parsers = [*PARSERS.values(), *(sub for parser in PARSERS.values() for sub in subparsers(parser))]
    flags = {flag for parser in parsers for action in parser._actions for flag in action.option_strings}
    of_others = {"--env-manager"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8"))) <= flags | of_others


def subparsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [sub for action in actions for sub in action.choices.values()]


def test_every_command_is_on_some_page() -> None:
    commands = [command for page in WITH_COMMANDS for command in commands_of(page)]
    documented = {
        module if module != "tuner" else f"tuner {arguments[0]}"
        for module, *arguments in commands
        if arguments or module != "tuner"
    }
    assert {name.removeprefix("python -m ") for name in PARSERS} <= documented


def test_the_space_of_the_how_to_loads(tmp_path: Path) -> None:
    (example,) = blocks(DOCS / "how-to" / "own-space.md", "yaml")
    path = tmp_path / "smart_or_not.yaml"
    path.write_text(example, encoding="utf-8")
    loaded = space.load(path, "laptop")
    assert [parameter.name for parameter in loaded.parameters][-2:] == ["smart.lambda", "smart.steps"]


def test_the_task_of_the_how_to_is_a_task() -> None:
    (example,) = blocks(DOCS / "how-to" / "own-task.md", "python")
    names: dict[str, object] = {}
    exec(example, names)
    task = names["NEWS"]
    assert isinstance(task, Task)
    assert (task.n_classes, task.metric) == (4, "news/accuracy")
    assert len(task.label_names) == task.n_classes


def test_a_dry_run_takes_the_task_of_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files as the page describes them; the generated corpus, which has no such task, is refused in one sentence."""
    names: dict[str, object] = {}
    exec(*blocks(DOCS / "how-to" / "own-task.md", "python"), names)
    monkeypatch.setitem(TASKS, "news", names["NEWS"])
    monkeypatch.chdir(tmp_path)
    Path("with_news.yaml").write_text(*blocks(DOCS / "how-to" / "own-task.md", "yaml"), encoding="utf-8")
    demo.write(Path("data"))
    header, *_ = blocks(DOCS / "how-to" / "own-task.md", "text")[0].splitlines()
    rows = [f"news-{number}\tthe council met for the {number}th time\t{number % 4}" for number in range(60)]
    for name in ("news-train.csv", "news-dev.csv"):
        Path("data", name).write_text("\n".join([header.replace("<tab>", "\t"), *rows, ""]), encoding="utf-8")
    search = main_of("tuner.search")
    options = ["--space", "with_news.yaml", "--dry-run", "--no-preflight"]
    accepted = run_command(search, *options, "--data", "data")
    assert (accepted.status, accepted.err) == (0, "")
    assert "mean(sst/accuracy, news/accuracy)" in accepted.out
    refused = run_command(search, *options)
    assert refused.status == 2
    assert refused.err.count("the demo corpus has no task news, only sst, quora, sts, cfimdb; give a folder") == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """To a file and, with `#`, to a heading in it, as GitHub names headings."""
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    """Left out are the log and the list of changes, which name files of their day, and the generated reference."""
    if page.name in ("log.md", "CHANGELOG.md", "reference.md"):
        return
    folders = "model|tuner|cluster|tests|benchmarks|search_spaces|mlflow|examples"
    names = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in names if name != "model/tasks/news.py" and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", [DOCS / "tutorial.md", *HOW_TOS], ids=lambda page: page.stem)
def test_pages_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`([a-z./-]+\.(?:md|ipynb))`", page.read_text(encoding="utf-8")):
        assert (page.parent / name).exists() or (DOCS / name).exists(), name


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_the_readmes_pictures_can_be_drawn(tmp_path: Path) -> None:
    pictures.report(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert pictures.terminal().startswith("<svg")
    assert sum(path.stat().st_size for path in pictures.FOLDER.iterdir()) <= pictures.MAX_BYTES
