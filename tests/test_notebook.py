"""The notebook of the documentation, executed by a real kernel."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "python.ipynb"


def test_the_notebook_is_kept_without_output() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.filterwarnings("default")  # of the client's event loop
def test_the_notebook_measures_ranks_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output.data["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output and "text/html" in output.data
    ]
    ranking, comparison = shown
    assert "<strong>Inference, batch 1</strong>" in ranking
    assert {"ONNX Runtime", "OpenVINO"} <= set(re.findall("<td>(.*?)</td>", ranking))
    assert "onnxruntime_engine compiled" in comparison
