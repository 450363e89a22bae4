"""Where the disc of mirrored eyes is, and how dense a change is there, on a run made by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.mean_change import measured, places_of
from fundus_ml.imaging.pictures import write_png
from fundus_ml.modulation import ORIGINAL, file_stem

SIZE, DISC = 64, (30, 46)


def painted(side):
    """A grey eye with a bright disc, mirrored where it is a left one, and the disc's own mask."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    disc = np.hypot(rows - DISC[0], columns - DISC[1]) < 4
    eye = np.where(disc, 200, 90).astype(np.uint8)[..., None].repeat(3, axis=-1)
    return (eye[:, ::-1], disc[:, ::-1]) if side == "left" else (eye, disc)


@pytest.fixture
def run(tmp_path):
    """Eyes pushed towards ill, which changes their discs, and towards well, which changes all."""
    rows = []
    for place, side in enumerate(("left", "right") * 4):
        image_id, target = f"a/{place}_{side}", ("ill", "well")[place // 4]
        eye, disc = painted(side)
        change = np.where(disc, 20, 1) if target == "ill" else np.full(disc.shape, 5)
        folder = tmp_path / "pictures" / file_stem(image_id)
        write_png(eye, folder / ORIGINAL)
        write_png(eye + change[..., None].astype(np.uint8), folder / "eps-1.png")
        picture = (folder / "eps-1.png").relative_to(tmp_path).as_posix()
        rows.append({"image_id": image_id, "eps": 1.0, "target": target, "picture": picture})
    pd.DataFrame(rows).to_parquet(tmp_path / "modulations.parquet")
    return tmp_path


def test_the_disc_is_found_on_eyes_of_either_side():
    sides = ["left", "right", "right"]
    places = places_of(np.stack([painted(side)[0] for side in sides]), sides)
    centres = {name: np.argwhere(mask).mean(axis=0) for name, mask in places.items()}
    np.testing.assert_allclose(centres["disc"], DISC, atol=1)
    np.testing.assert_allclose(centres["sham: other side"], (DISC[0], SIZE - DISC[1]), atol=1)
    assert centres["macula"][1] < DISC[1] - 20
    assert centres["sham: above"][0] < DISC[0] - 12 < DISC[0] + 12 < centres["sham: below"][0]


def test_a_change_of_the_disc_is_dense_there_alone(run):
    table = pd.DataFrame(measured("net", run)).set_index(["target", "place"])["density"]
    assert table["ill", "disc"] > 20
    assert table["ill"].drop("disc").max() < 0.2
    np.testing.assert_allclose(table["well"], 1.0, atol=1e-6)
