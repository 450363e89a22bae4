"""The notebook is the page with outputs, and its code names what exists."""

import ast
import importlib
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from benchmarks.downstream_notebook import notebook_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "downstream.md").read_text(encoding="utf-8")
NOTEBOOK = nbformat.read(DOCS / "downstream.ipynb", as_version=4)
CODE = [cell.source for cell in notebook_of(PAGE).cells if cell.cell_type == "code"]
OURS = {"data", "imaging", "statistics", "synthesis", "registry", "results"}


def test_the_notebook_holds_the_page():
    kept = [(cell.id, cell.cell_type, cell.source) for cell in NOTEBOOK.cells]
    page = [(cell.id, cell.cell_type, cell.source) for cell in notebook_of(PAGE).cells]
    assert kept == page, "run python -m benchmarks.downstream_notebook"


def test_the_notebook_was_run_to_its_end_and_is_small():
    nbformat.validate(NOTEBOOK)
    run = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in run] == list(range(1, len(run) + 1))
    assert all(cell.outputs for cell in run[1:])
    outputs = [output for cell in run for output in cell.outputs]
    assert "error" not in {output.output_type for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    assert 1 <= sum("image/png" in output.get("data", {}) for output in outputs) <= 3
    assert (DOCS / "downstream.ipynb").stat().st_size < 150_000


def test_the_notebook_names_no_machine():
    text = json.dumps(NOTEBOOK)
    for place in ("/home/", "/Users/", str(DOCS.parent), str(Path.home()), sys.prefix):
        assert place not in text


@pytest.mark.parametrize("code", CODE[1:])
def test_a_question_takes_ten_lines(code):
    assert len(code.splitlines()) <= 10


def names_used():
    """Whatever the page takes from this project: ``(module, name, call)``."""
    tree = ast.parse("\n".join(CODE))
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"fundus_ml", "tracking"}:
            for alias in node.names:
                known[alias.name] = importlib.import_module(f"{node.module}.{alias.name}")
    assert set(known) == OURS
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            taken = node.func.value
            if isinstance(taken, ast.Name) and taken.id in known:
                yield known[taken.id], node.func.attr, node


def test_every_call_of_this_project_exists_and_takes_its_arguments():
    used = list(names_used())
    assert len(used) > len(OURS)
    for module, name, call in used:
        assert isinstance(module, ModuleType)
        found = getattr(module, name)
        given = {keyword.arg: None for keyword in call.keywords}
        inspect.signature(found).bind(*call.args, **given)
