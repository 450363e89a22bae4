"""Write ``docs/downstream.ipynb``: the words and the code of ``docs/downstream.md``, run here.

    make demo
    python -m benchmarks.downstream_notebook

The page is what to edit; the notebook has its outputs too.
"""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DOCS = Path(__file__).parents[1] / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SECONDS = 600
"""Longest that a cell may take."""
WIDGETS = "ignore:IProgress not found"
"""What tqdm warns of where there are no widgets to draw its bars with."""


def main() -> int:
    """Run the page's code from the folder of the documents and write the notebook."""
    notebook = run(notebook_of((DOCS / "downstream.md").read_text(encoding="utf-8")), DOCS)
    nbformat.write(notebook, DOCS / "downstream.ipynb")
    print(f"{DOCS / 'downstream.ipynb'}: {len(notebook.cells)} cells")
    return 0


def notebook_of(page: str) -> NotebookNode:
    """Turn a page into a notebook without outputs.

    Args:
        page: Markdown; its blocks of Python become cells of code, what stands between them cells of
            text.
    """
    cells = []
    for place, text in enumerate(FENCED.split(page)):
        make = new_code_cell if place % 2 else new_markdown_cell
        if text.strip():
            cells.append(make(text.strip(), id=f"cell-{place}"))
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Execute a notebook whose kernel starts in ``folder``.

    Raises:
        CellExecutionError: A cell raised.
    """
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=SECONDS, resources=where, record_timing=False)
    executed = client.execute(env=os.environ | {"PYTHONWARNINGS": WIDGETS})
    executed.metadata.language_info = {"name": "python"}
    return executed


if __name__ == "__main__":
    sys.exit(main())
