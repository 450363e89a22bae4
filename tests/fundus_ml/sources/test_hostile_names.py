"""Names that other people chose: they stay text in tables, pages, pictures and file names."""

import os

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.opening import open_dataset
from fundus_ml.figures import figure_png, quality_distribution, subgroup_forest
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.pages.test_template import Page
from tests.fundus_ml.tiny_eyes import draw_field

EVIL = "<script>alert(1)</script>"
MATH = r"$\frac{$ \undefined^ $"
FILES = ("=HYPERLINK(1).png", "+1.png", "-1.png", "@SUM(1).png", f"{EVIL.replace('/', '')}.png")
NAMES = (
    *FILES,
    f"{MATH.replace(chr(92), '_')}.png",
    "a'b\"c;d,e.png",
    "\u202egpj.png",
    f"{'x' * 200}.png",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset folder of eyes under hostile names, half of which are no photographs."""
    root = tmp_path_factory.mktemp("hostile") / "release"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for place, name in enumerate(NAMES):
        bgr = np.sort(rng.integers(90, 250, 3))
        image = draw_field(120, 160, x=80, y=60, radius=52, colour=bgr)
        content = cv2.imencode(".png", image)[1].tobytes() if place > 4 else b"no photograph"
        (root / name).write_bytes(content)
        rows.append({"file": name, "patient_id": f"{EVIL}{place}", "sex": "fm"[place % 2]})
    with open(os.fsencode(root) + b"/L\xf6we.png", "wb") as file:  # noqa: PTH123 (bytes)
        file.write(content)
    rows += [
        {"file": name, "patient_id": name, "sex": "f"} for name in ("L\xf6we.png", "=gone.png")
    ]
    table = pd.DataFrame(rows).assign(camera=EVIL + MATH, own=EVIL)
    table.to_csv(root / "labels.csv", index=False)
    photographs = folder_photographs(root, name=f"=1+{EVIL}")
    options = PreprocessingOptions(size=16, permutations=5, same_person=False, regions="no")
    with processes(workers=1):
        return preprocess(photographs, root.parent / "out", options, recipe={"name": EVIL})


def test_every_eye_is_kept_or_refused_whatever_its_name(written):
    assert written.kept == len(NAMES) - 5 + 1
    assert written.rejected == {"file missing": 1, "not an image": 5}
    frame = open_dataset(str(written.path)).frame
    assert f"=1+{EVIL}/{'x' * 200}" in set(frame["image_id"])
    assert f"=1+{EVIL}/L\xf6we" in set(frame["image_id"])


def test_no_cell_of_what_was_refused_is_computed_by_a_spreadsheet(written):
    """Neither an id nor a file's name; the reason is still counted by the audit."""
    table = pd.read_csv(written.path / "rejected.csv")
    assert len(table) == 6
    cells = table.astype("str").to_numpy().ravel()
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert (table["detail"] == "'=gone.png").any()


def test_the_audit_shows_names_as_text(written):
    html = (written.path / "audit.html").read_text(encoding="utf-8")
    assert EVIL not in html
    page = Page(html)
    assert page.all("script") == []
    assert page.open == []
    assert "&lt;script&gt;" in html


def test_figures_write_names_as_they_are():
    """A dollar sign begins no formula, which would stop the run where it is none."""
    frame = pd.DataFrame(np.full((4, 6), 0.5), columns=list(_measures())).assign(source=MATH)
    assert figure_png(quality_distribution(frame, min_quality=0), dpi=30)
    groups = pd.DataFrame(
        {
            "attribute": ["all", MATH], "group": ["all eyes", MATH], "eyes": 9, "people": 9,
            "reason": "", "auroc": 0.7, "auroc_low": 0.6, "auroc_high": 0.8,
        }
    )  # fmt: skip
    figure = subgroup_forest(groups, title=MATH)
    assert figure_png(figure, dpi=30)
    assert figure.axes[0].get_yticklabels()[1].get_text() == f"{MATH}:  {MATH}"


def _measures():
    return ("quality", "focus", "illumination", "contrast", "colour_cast", "visible_area")
