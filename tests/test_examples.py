"""The examples run as they are."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
import ray
from nbclient import NotebookClient

from tests.support import raylets

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.cluster
@pytest.mark.endurance
@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
def test_notebook_of_a_search(tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs in a kernel on this process's Ray, with a tiny backbone, and shows its result."""
    raylets.join_shared()
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "examples" / "search.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('data="demo",', f'data="demo", backbone="{tiny_backbone}", no_dashboard=True,')
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [text_of(cell) for cell in notebook.cells if cell.cell_type == "code"]
    searched, frame, champion, single, pair, refused, again = shown
    assert ": 2 trials, champion trial " in searched
    assert searched.count("2.0/2 full trials  0 running") == 1, "the table is one output, updated in place"
    assert "\x1b" not in searched
    assert "COMPLETE" in frame
    assert "'sst/accuracy'" in champion
    assert single.count("Prediction(") == 2
    assert pair.count("Prediction(") == 1
    assert "search() has no option trails (did you mean trials?)" in refused
    assert again == ""


def text_of(cell: nbformat.NotebookNode) -> str:
    """The outputs of a cell as plain text."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(parts)
