"""The notebook of the documentation runs from its first cell to its last."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from support.places import ROOT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_walkthrough_runs_and_shows_pictures(monkeypatch):
    """Every cell runs, and those that show a picture give one; it is committed without outputs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = ROOT / "docs" / "walkthrough.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "data:image/jpeg;base64" in output.get("data", {}).get("text/html", "")]
    ends = [cell.source.rpartition("\n")[2] for cell in notebook.cells if cell.cell_type == "code"]
    assert len(shown) == sum(end.startswith(("expla", "asked", "rcnn(")) for end in ends) > 6
