"""What a user does afterwards: the whole page of questions, asked of a finished chain."""

import shutil
from pathlib import Path

import pytest

from benchmarks.downstream_notebook import notebook_of, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(chain, tmp_path, monkeypatch):
    """A checkout after `make demo`, as the page expects it; the chain's folder stays as it is."""
    for name in ("mlflow.db", "results.db"):
        shutil.copy(chain.folder / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(chain.folder / "demo")
    (tmp_path / "docs").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    return tmp_path


@pytest.mark.slow
def test_every_question_of_the_page_is_answered(folder):
    page = (ROOT / "docs" / "downstream.md").read_text(encoding="utf-8")
    notebook = run(notebook_of(page), folder / "docs")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in cells[1:])
    pictures = [out for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 2
    assert not list((folder / "docs").iterdir())
