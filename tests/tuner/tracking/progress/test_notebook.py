"""What a search shows in a notebook, in a real kernel: one output that is updated, then the summary as text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
CELL = """
import sys
from pathlib import Path
from tests.support import samples
from tuner.tracking.progress import make_progress

facts = samples.facts(Path("/runs/night"), n_trials=50)
shown = make_progress(False, False, sys.stdout)
shown.search_started(facts)
records = [samples.record(number, score=number / 100) for number in range(50)]
for record in records:
    shown.trial_started(record.number, samples.CONFIG)
    shown.evaluated(record.number, samples.evaluation(1, 0.2), 0.2)
    shown.trial_finished(record)
shown.search_finished(samples.results(facts, records, records[-1]))
shown.close()
"""
QUIET = "make_progress(True, False, sys.stdout).search_finished(samples.results(facts, records, records[-1]))"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """The outputs of the two cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (CELL, QUIET)])
    folder = str(tmp_path_factory.mktemp("notebook"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [cell.outputs for cell in notebook.cells]


def test_the_table_is_one_output_that_ends_with_the_totals(outputs: list[list[dict[str, Any]]]) -> None:
    """However many events there were, and however soon the last ones came after one another."""
    tables = [output["data"]["text/plain"] for output in outputs[0] if output["output_type"] == "display_data"]
    assert len(tables) == 1
    assert tables[0].splitlines()[0] == "50.0/50 full trials  0 running  0 pruned  0 failed"
    assert tables[0].splitlines()[1].startswith("best 0.4900 (trial 49)  elapsed ")


def test_header_and_summary_are_plain_text(outputs: list[list[dict[str, Any]]]) -> None:
    said = "".join(output["text"] for output in outputs[0] if output["output_type"] == "stream")
    assert said.startswith("search night: space smart_mtl")
    assert "use it:   " in said
    assert "\x1b" not in said
    assert not any("text/html" in output.get("data", {}) for output in outputs[0])


def test_quiet_writes_the_summary_to_its_stream(outputs: list[list[dict[str, Any]]]) -> None:
    assert [output["output_type"] for output in outputs[1]] == ["stream"]
