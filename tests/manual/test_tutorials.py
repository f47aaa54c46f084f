"""The tutorials run, and what they show is what comes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_says_what_stands_there(path, monkeypatch):
    """What is printed is compared, but in cells tagged `varies`, whose training rounds otherwise elsewhere."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    kept, run = nbformat.read(path, 4), nbformat.read(path, 4)
    nbclient.NotebookClient(run, timeout=1800, resources={"metadata": {"path": str(ROOT)}}).execute()
    for before, after in zip(kept.cells, run.cells, strict=True):
        if before.cell_type == "code" and "varies" not in before.metadata.get("tags", []):
            assert _printed(after) == _printed(before), before.source


def test_tutorials_are_kept_with_their_outputs():
    nbformat = pytest.importorskip("nbformat")
    assert len(TUTORIALS) == 3
    for path in TUTORIALS:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells), f"{path}: a cell was not run"
        assert any(_printed(cell) for cell in cells)


def _printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
