"""Mean changes of contrasts side by side, from runs made by hand on eyes whose parts are known."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import changes_by_contrast
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.registration import DISC
from fundus_ml.modulation import ORIGINAL, file_stem
from tests.experiments.test_measure import anatomy, give
from tests.fundus_ml.tiny_eyes import write_folder

EPS = (1.0, 4.0)


@pytest.fixture
def eyes(tmp_path):
    folder = tmp_path / "eyes"
    write_folder(folder, 12, with_regions=False, shard_eyes=7)
    give(folder, anatomy(open_dataset(str(folder))))
    return folder


def pushed(dataset, folder, *, towards, by):
    """A run's artifacts: every eye brighter by ``by`` grey levels at its disc, at two budgets."""
    rows = []
    for image_id, x, y, pixels in zip(
        dataset.frame["image_id"], dataset.frame["region_disc_x"],
        dataset.frame["region_disc_y"], dataset.pixels(range(len(dataset))), strict=True,
    ):  # fmt: skip
        eye = (pixels // 4 + 60).astype(np.uint8)
        place = folder / "modulation" / "pictures" / file_stem(image_id)
        write_png(eye, place / ORIGINAL)
        down, across = np.mgrid[: dataset.size, : dataset.size]
        disc = np.hypot(across - x, down - y) < 1.5
        for eps in EPS:
            made = eye.astype(int)
            made[disc] += int(by * eps / EPS[-1])
            picture = place / f"eps-{eps:g}.png"
            write_png(made.astype(np.uint8), picture)
            rows.append(
                {
                    "image_id": image_id, "eps": eps, "target": towards, "success": eps > 1,
                    "l2": eps, "rms": eps / 100,
                    "min_norm": 2.0 if int(image_id[-1]) % 2 else np.inf,
                    "picture": picture.relative_to(folder / "modulation").as_posix(),
                }
            )  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "modulation" / "modulations.parquet")
    parts = [
        {
            "condition": condition, "eps": eps, "part": part, "eyes": 12, "enrichment": dense,
            "low": dense - 1, "high": dense + 1, "sham": 0.5, "sham_low": 0.4, "sham_high": 0.6,
        }
        for condition, dense in (("modulation", 6.0), ("gradient squared", 5.0), ("noise", 1.0))
        for eps in EPS
        for part in ("disc", "macula")
    ]  # fmt: skip
    table = pd.DataFrame(parts).to_dict("split")
    told = {"columns": table["columns"], "data": table["data"]}
    (folder / "region_enrichment.json").write_text(json.dumps(told))
    return str(folder)


@pytest.fixture
def runs(eyes, tmp_path):
    dataset = open_dataset(str(eyes))
    return [
        pushed(dataset, tmp_path / "to", towards="glaucoma", by=80),
        pushed(dataset, tmp_path / "from", towards="healthy", by=-40),
    ]


def test_left_and_right_discs_come_to_one_place_in_sign_and_density(eyes, runs):
    to, away = (changes_by_contrast.mean_change(run, eyes) for run in runs)
    assert (to.towards, away.towards) == ("glaucoma", "healthy")
    assert to.eyes == 12
    size = len(to.density)
    for change, sign in ((to, 1), (away, -1)):
        signed = sign * np.nan_to_num(change.colour.mean(axis=2))
        for plane in (signed, np.nan_to_num(change.density)):
            y, x = np.unravel_index(plane.argmax(), plane.shape)
            assert np.hypot(x - DISC[0] * size, y - DISC[1] * size) < change.disc_diameter
    # The largest budget is shown, and half the change of the other run is half as strong.
    assert np.nanmax(to.colour) == pytest.approx(-2 * np.nanmin(away.colour), rel=0.05)
    assert np.nanmax(to.density) == pytest.approx(np.nanmax(away.density), rel=0.05)


def test_an_eye_of_another_dataset_and_two_targets_are_refused(runs, tmp_path):
    other = tmp_path / "other"
    write_folder(other, 8, with_regions=False, shard_eyes=7)
    give(other, anatomy(open_dataset(str(other))))
    with pytest.raises(InputError, match=f"dataset={other}: lacks tiny/8, which {runs[0]} pushed"):
        changes_by_contrast.mean_change(runs[0], other)
    file = tmp_path / "to" / "modulation" / "modulations.parquet"
    rows = pd.read_parquet(file)
    rows.loc[::4, "target"] = "healthy"
    rows.to_parquet(file)
    with pytest.raises(InputError, match="pushed towards healthy and glaucoma; give mode=CLASS"):
        changes_by_contrast.measured("glaucoma", runs[0])


def test_the_table_has_each_budget_and_part_beside_its_sham_and_one_gradient(eyes, runs, tmp_path):
    picture, csv = tmp_path / "out" / "changes.png", tmp_path / "changes.csv"
    told = [
        "--dataset",
        str(eyes),
        "--runs",
        f"glaucoma={','.join(runs)}",
        f"own={runs[0]},{runs[1]}",
    ]
    changes_by_contrast.main([*told, "--picture", str(picture), "--csv", str(csv)])
    table = pd.read_csv(csv)
    assert len(table) == 2 * 2 * 2 * 2
    rows = table.set_index(["contrast", "towards", "eps", "part"])
    disc = rows.loc[("glaucoma", "healthy", 4.0, "disc")]
    assert (disc["pushed"], disc["success"], disc["enrichment"], disc["sham"]) == (12, 1, 6, 0.5)
    assert disc["gradient"] == 5
    assert disc["grey_levels"] == pytest.approx(255 * 0.04)
    assert disc["min_norm_rms"] == pytest.approx(255 * 0.02)
    assert disc["known"]
    assert not rows.loc[("glaucoma", "healthy", 4.0, "macula"), "known"]
    assert not table.loc[table["contrast"] == "own", "known"].any()
    drawn = cv2.imread(str(picture))
    assert drawn.shape[0] > drawn.shape[1]  # four maps of each of two contrasts
