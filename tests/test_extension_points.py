"""One of each extension point, added to a copy of the sources: a file of its own, and at most one line elsewhere.

Command lines, schema, reference and report show it without any other change.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
FILES = {
    "tuner/study/pruners/own_pruner.py": (
        "from optuna.pruners import NopPruner\n"
        "from tuner.study.pruners.base import Pruner\n"
        'PRUNER = Pruner("a pruner of mine", lambda schedule: NopPruner())\n'
    ),
    "tuner/study/samplers/own_sampler.py": (
        "from optuna.samplers import RandomSampler\n"
        "from tuner.study.samplers.base import Sampler\n"
        'SAMPLER = Sampler("a sampler of mine", lambda settings: RandomSampler(seed=settings.fresh_seed), has_model=False)\n'
    ),
    "model/smart/variants/own_variant.py": (
        "from dataclasses import replace\n"
        "from model.smart.variants.rdrop import RDROP\n"
        'OWN = replace(RDROP, description="is a variant of mine")\n'
    ),
    "tuner/report/charts/own_chart.py": (
        "from tuner.report.html import element\ndef section(run):\n    return [element('p', 'a chart of mine')]\n"
    ),
    "tuner/commands/own_command.py": "def main(argv):\n    print('a command of mine', *argv)\n    return 0\n",
}
"""What a contributor writes."""
LINES = [
    ("tuner/config/options.py", "PRUNER_NAMES = (", 'PRUNER_NAMES = ("own-pruner", '),
    ("tuner/config/options.py", "SAMPLER_NAMES = (", 'SAMPLER_NAMES = ("own_sampler", '),
    (
        "model/smart/variants/__init__.py",
        "VARIANTS: dict[str, Variant] = {",
        'from model.smart.variants.own_variant import OWN\n\nVARIANTS: dict[str, Variant] = {"own_variant": OWN, ',
    ),
    ("tuner/report/charts/__init__.py", "CHARTS = {", 'CHARTS = {\n    "own_chart": "My chart",'),
    (
        "tuner/commands/__init__.py",
        "COMMANDS = {",
        'COMMANDS = {\n    "own": Command("tuner.commands.own_command", "a command of mine"),',
    ),
    (
        "tuner/config/options.py",
        "    seed: int = option(",
        '    own_option: int = option(3, WHAT, "an option of mine", least=1)\n    seed: int = option(',
    ),
    (
        "model/metrics.py",
        '    "pearson": Metric(',
        '    "own_metric": Metric("classification", _accuracy),\n    "pearson": Metric(',
    ),
    (
        "model/strategies.py",
        "STRATEGIES: dict[str, Strategy] = {",
        'STRATEGIES: dict[str, Strategy] = {\n    "own_strategy": Strategy("a strategy of mine", lambda draw: draw.n**0.25),',
    ),
]
"""The line that makes each known: file, what stands there, and what it becomes."""
SCRIPT = """
import contextlib, io, json, sys, tempfile
from pathlib import Path
from model.config import TrialConfig
from tests.support import report_runs
from tuner.__main__ import main, usage
from docs import reference
from tuner.config.objective import metric_names
from tuner.config.options import Options, parser, problems_of
from tuner.report.gather import gather
from tuner.report.page import page
from tuner.results import results_json

run = Path(tempfile.mkdtemp()) / "run"
run.mkdir()
results_json.write(run / results_json.FILE_NAME, report_runs.results(report_runs.records(6), run))
with contextlib.redirect_stdout(io.StringIO()) as printed:
    main(["own", "argument"])
json.dump({
    "help": " ".join(parser().format_help().split()), "usage": usage(), "printed": printed.getvalue(),
    "problems": problems_of(Options(own_option=0)), "metrics": metric_names(),
    "schema": json.dumps(TrialConfig.model_json_schema()), "reference": reference.page(), "report": page(gather(run)),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the extended copy shows."""
    copy = tmp_path_factory.mktemp("copy")
    for package in ("model", "tuner", "cluster", "search_spaces", "docs"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        (copy / name).write_text(text, encoding="utf-8")
    for name, before, after in LINES:
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name}: {before}"
        (copy / name).write_text(text.replace(before, after), encoding="utf-8")
    path = os.pathsep.join(map(str, (copy, ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("own-pruner", ["help", "reference"]),
        ("a pruner of mine", ["reference"]),
        ("own_sampler", ["help", "reference"]),
        ("a sampler of mine", ["reference"]),
        ("own_strategy", ["schema", "reference"]),
        ("own_variant", ["schema", "reference"]),
        ("--own-option", ["help", "reference"]),
        ("an option of mine (3)", ["help", "reference"]),
        ("My chart", ["report"]),
        ("a chart of mine", ["report"]),
        ("a command of mine", ["usage", "printed"]),
        ("sst/own_metric", ["metrics"]),
    ],
)
def test_what_is_added_is_shown(shown: dict[str, Any], name: str, places: list[str]) -> None:
    assert [place for place in places if name not in shown[place]] == []


def test_an_added_options_bounds_are_checked(shown: dict[str, Any]) -> None:
    assert shown["problems"] == ["--own-option 0: give 1 or more"]
