"""The layers: which package imports which, read from the source, and what an import costs."""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("model", "tuner", "cluster")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = ("torch", "openai", "ray", "optuna", "mlflow", "transformers", "datasets", "deepspeed")
TRAINING = {"torch", "transformers", "datasets", "deepspeed", "sklearn"}


def name_of(path: Path) -> str:
    """`tuner/space/load.py` and so on, however the system writes it."""
    return path.relative_to(ROOT).as_posix()


@cache
def imports_of(source: str) -> set[str]:
    """Dotted names that a module imports, wherever in it; `from a import b` gives `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(package: str, among: list[Path] = SOURCES) -> set[str]:
    """The modules that import `package` or a part of it."""
    return {
        name_of(path)
        for path in among
        for name in imports_of(path.read_text(encoding="utf-8"))
        if name == package or name.startswith(f"{package}.")
    }


def inside(folder: str) -> list[Path]:
    return [path for path in SOURCES if name_of(path).startswith(f"{folder}/")]


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b\nfrom c import d\ndef f():\n    import e\n    if True:\n        from g.h import i as j\n"
    assert imports_of(source) == {"a.b", "c", "c.d", "e", "g.h", "g.h.i"}


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("model", ["ray", "optuna", "mlflow", "tuner", "cluster"]),
        ("cluster", ["torch", "tuner", "deepspeed", "transformers", "optuna", "mlflow"]),
        ("tuner", ["deepspeed", "transformers"]),
        ("model/data", ["model.cues"]),
    ],
)
def test_what_a_package_never_imports(package: str, never: list[str]) -> None:
    assert inside(package)
    assert {library: importers(library, inside(package)) for library in never} == {library: set() for library in never}


@pytest.mark.parametrize(
    ("package", "only_in"),
    [
        ("ray.tune", ("tuner/execution/runner.py", "tuner/execution/trainable.py", "tuner/execution/tune.py")),
        ("optuna", ("tuner/space/", "tuner/study/")),
        ("plotly", ("tuner/report/",)),
        ("mlflow", ("tuner/tracking/", "tuner/tracking/mlflow/registry.py", "tuner/tracking/mlflow/served_model.py")),
        ("deepspeed", ("model/engine/deepspeed.py",)),
        ("openai", ("model/cues/openai_rewriter.py",)),
        (
            "transformers",
            (
                "model/encoder/backbone.py",
                "model/encoder/unpadded.py",
                "model/saved_model/folder.py",
                "model/saved_model/standalone.py",
                "model/engine/preimport.py",
            ),
        ),
    ],
)
def test_a_library_has_its_place(package: str, only_in: tuple[str, ...]) -> None:
    found = importers(package)
    assert found, f"nothing imports {package}: is the rule out of date?"
    assert {name for name in found if not name.startswith(only_in)} == set()


LAYERS = (
    "commands", "search", "report", "execution", "study", "tracking", "results", "space", "config", "artifacts",
)  # fmt: skip
"""Packages of tuner/ from top to bottom: each imports only from itself and those below it."""


def unit_of(name: str) -> str | None:
    """The package of tuner/ that a dotted name or a file belongs to; None for others and for tuner/ itself."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if parts[0] == "tuner" and len(parts) > 1 and parts[1] in LAYERS else None


def test_tuner_has_these_packages_and_no_other_module() -> None:
    names = {path.name for path in (ROOT / "tuner").iterdir() if path.name != "__pycache__"}
    assert names == {"__init__.py", "__main__.py", *LAYERS}


def test_no_package_imports_from_a_higher_one() -> None:
    """Imports within functions and for type checkers included."""
    upward = [
        f"{name_of(path)} imports {name}"
        for path in inside("tuner")
        for name in imports_of(path.read_text(encoding="utf-8"))
        if (unit := unit_of(name_of(path))) and (used := unit_of(name)) and LAYERS.index(used) < LAYERS.index(unit)
    ]
    assert upward == []


def modules_of(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    return {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in inside(package)}


def imported_modules(source: str, modules: Collection[str]) -> set[str]:
    """Those of `modules` that a source takes names from; `from a import b` is `a.b` where that is a module, else `a`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in names}
    return found & set(modules)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    """Imports within functions and for type checkers included; a package's `__init__` is a module like any other."""
    modules = modules_of(package)
    graph = {module: imported_modules(path.read_text(encoding="utf-8"), modules) - {module} for module, path in modules.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("folder", ["mlflow", "search_spaces"])
def test_folders_of_data_hold_no_python(folder: str) -> None:
    """A module in `mlflow/` would hide the library of that name."""
    assert list((ROOT / folder).rglob("*.py")) == []


def test_no_package_hides_a_dependency() -> None:
    """No installed library but this project has a module of these names, and neither has Python."""
    installed = importlib.metadata.packages_distributions()
    assert {name: set(installed.get(name, [])) - own_distributions() for name in PACKAGES} == {name: set() for name in PACKAGES}
    assert not set(PACKAGES) & set(sys.stdlib_module_names)


def own_distributions() -> set[str]:
    """Names under which this project itself is installed here, if it is."""
    origins = {
        distribution.metadata["Name"]: distribution.read_text("direct_url.json") or ""
        for distribution in importlib.metadata.distributions()
    }
    return {name for name, origin in origins.items() if f'"{ROOT.as_uri()}"' in origin}


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_every_package_is_one() -> None:
    folders = {path.parent for path in SOURCES}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_what_the_command_line_starts_with_is_cheap() -> None:
    """`--help` and a wrong option answer without loading a library that takes seconds."""
    light = (
        "model, tuner, cluster, tuner.search, tuner.config.options, model.config, model.train, model.predict, "
        "model.training.evaluation, model.cues.__main__"
    )
    for names, heavy in ((light, set(HEAVY)), ("tuner.search", {*HEAVY, "numpy", "rich"})):
        code = f"import sys, {names}; print(*sorted({{name.partition('.')[0] for name in sys.modules}} & {heavy!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split() == []


@pytest.mark.slow
def test_neither_driver_nor_supervisor_loads_what_trains() -> None:
    """Seconds of every start and hundreds of megabytes, in processes that hold no tensor."""
    modules = "cluster.connect, tuner.search.plan, tuner.search.session, tuner.execution.trainable"
    code = f"import sys, {modules}; print(*sorted(set(sys.modules) & {TRAINING!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_rank_loads_neither_mlflow_nor_scikit_learn() -> None:
    """Which take it seconds each; MLflow can still be had afterwards."""
    code = (
        "import sys, numpy as np; from model import metrics, tasks; from model.engine.deepspeed import import_deepspeed; "
        "import_deepspeed('cpu'); "
        "[metrics.compute(task, np.arange(4) % 2, np.arange(4) // 2) for task in tasks.TASKS.values()]; "
        "print('deepspeed' in sys.modules, *sorted(set(sys.modules) & {'mlflow', 'sklearn'})); import mlflow"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"


def test_help_of_the_search_as_a_command() -> None:
    command = [sys.executable, "-m", "tuner.search", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m tuner.search")
    assert "--space" in done.stdout


def parsers() -> dict[str, argparse.ArgumentParser]:
    import model.predict
    import model.train
    import tuner.config.options

    return {"search": tuner.config.options.parser(), "train": model.train.parser(), "predict": model.predict.parser()}


@pytest.mark.parametrize("command", ["search", "train", "predict"])
def test_every_option_is_explained(command: str) -> None:
    parser = parsers()[command]
    assert len(parser._actions) > 3
    assert [action.dest for action in parser._actions if not (action.help or "").strip()] == []
    assert parser.description
    assert parser.format_help()  # a stray % in a help text would raise here


@pytest.mark.parametrize(("package", "most"), [("tuner", 12), ("model", 18)])
def test_a_package_has_few_entries(package: str, most: int) -> None:
    entries = [path.name for path in (ROOT / package).iterdir() if path.name != "__pycache__"]
    assert len(entries) <= most, sorted(entries)
