"""The same photographs whatever the system's encoding: no eye is missing because of a locale."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.sources.tiny_releases import drawn_jpeg

NAMES = ("plain", "Jos\xe9", "\u0141ukasz", "\u738b", "\U0001f441", "deco\u0301mposed")
READ = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.fundus_ml.sources.test_locales import read
sys.stdout.buffer.write("\\n".join(read(Path(sys.argv[1]))).encode())
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def root(tmp_path):
    """A photograph under each name, in a folder whose own name is not ASCII."""
    root = tmp_path / "B\xfccher"
    root.mkdir()
    lines = ["file,patient_id,sex,camera"]
    for number, name in enumerate(NAMES):
        (root / f"{name}.jpg").write_bytes(drawn_jpeg())
        lines.append(f"{unicodedata.normalize('NFC', name)}.jpg,{number},f,caf\xe9")
    with open(os.fsencode(root) + b"/Andr\xe9.jpg", "wb") as file:  # noqa: PTH123 (bytes)
        file.write(drawn_jpeg())
    lines += ["Andr\xe9.jpg,a,m,", "gone_\xe9.jpg,b,m,"]
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def read(root):
    """Read a release; name its photographs, their files and what was refused."""
    release = folder_photographs(root)
    rows = release.table.to_dict("records")
    loaded = [release.load(row, 0).sha256 for row in rows]
    said = [str(len(loaded)), *release.table["image_id"], *release.table["path"]]
    return said + release.rejected.to_csv(index=False).splitlines()


def read_under(root, **settings):
    environment = {name: value for name, value in os.environ.items() if name[:3] != "LC_"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(root)],
        env=environment | settings,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_locale_that_knows_no_letters_hides_no_photograph(root):
    seen = read_under(root, **ASCII)
    assert seen.decode().splitlines()[0] == str(len(NAMES) + 1)
    assert "gone_\xe9.jpg" in seen.decode()
    assert seen == "\n".join(read(root)).encode()
