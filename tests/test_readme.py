"""The README: its options, commands, links, files and pictures exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tuner.config import options
from tuner.config.keywords import options_of

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_options_that_matter_are_options() -> None:
    table = README.partition("## The options that matter")[2].partition("\n## ")[0]
    rows = "\n".join(re.findall(r"^\| (.+?) \|", table.replace("\\|", "or"), re.MULTILINE))
    flags = {flag for action in options.parser()._actions for flag in action.option_strings}
    assert len(re.findall(r"--[a-z-]+", rows)) >= 10
    assert set(re.findall(r"--[a-z][a-z-]+", rows)) <= flags


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 180
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 15
    for link in links:
        assert (ROOT / link).is_file(), link
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(links), "README leads to every page"


def test_its_pictures_are_small_and_show_no_machine() -> None:
    shown = [ROOT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)]
    assert {path.suffix for path in shown} == {".png", ".svg"}
    assert sum(path.stat().st_size for path in shown) <= 300 * 1024
    (drawing,) = [path.read_text(encoding="utf-8") for path in shown if path.suffix == ".svg"]
    assert "running" in drawing
    assert not re.search(
        r"https?://(?!www\.w3\.org)|/(?:home|root|tmp|work)/", drawing.replace("https://www.textualize.io", "")
    )


def test_the_package_installs_a_command_and_has_its_licence() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    ((module, function),) = re.findall(r'"smart-tuner = ([\w.]+):(\w+)"', setup)
    assert getattr(importlib.import_module(module), function)(["--help"]) == 0
    assert 'license="Apache-2.0"' in setup
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (search|check|test|bench)", README):
        assert f"\n{target}:" in makefile


def test_call_from_python_takes_known_keywords() -> None:
    (example,) = [block for block in blocks("python") if "search(" in block]
    (call,) = [
        node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "search"
    ]
    options_of({keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords})


@pytest.mark.parametrize("name", re.findall(r"`((?:model|tuner|search_spaces|cluster|mlflow|examples)/[a-z_/.]*)`", README))
def test_files_exist(name: str) -> None:
    assert (ROOT / name).exists()
