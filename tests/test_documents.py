"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_NAMED = re.compile(r"`((?:fundus_ml|experiments|tracking|benchmarks|tests|docs)/[\w/.-]*)`")
"""A file or a folder of the project; one with a star or a capital stands for several."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_folders_that_a_document_names_exist(document):
    named = set(_NAMED.findall(document.read_text(encoding="utf-8")))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_readme_says_what_every_room_is_for():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## From idea to module")[2]
    rooms = [
        path.name for path in (ROOT / "fundus_ml").iterdir() if (path / "__init__.py").is_file()
    ]
    assert len(rooms) > 20
    assert not [room for room in rooms if f"{room}/`" not in table]
