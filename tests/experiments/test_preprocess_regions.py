"""``preprocess`` writes where the parts of every eye lie, or takes what people drew."""

import numpy as np
import pandas as pd
import pytest

from experiments import preprocess
from experiments.running.biomarkers import measured_eyes
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.columns import REGION_COLUMNS, regions_of_row
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_landmarks
from tests.experiments.conftest import enter, flags, leave_unrendered
from tracking.runs import start_run

SIZE = 128
SMALL = {
    "source": "folder",
    "root": "own",
    "size": SIZE,
    "permutations": 1,
    "workers": 1,
    "same_person": "false",
}
pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A release of four painted people with masks of two discs; and what is true of each eye."""
    folder = tmp_path_factory.mktemp("regions")
    eyes = draw_population(Population(patients=4, seed=11)).to_dict("records")
    (folder / "own").mkdir()
    rows = []
    for place, row in enumerate(eyes):
        write_png(paint_photograph(row).image, folder / f"own/{place}.png")
        rows.append((f"{place}.png", row["patient_id"], row["sex"], row["eye"]))
    columns = ["file", "patient_id", "sex", "eye"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "own/labels.csv", index=False)
    (folder / "masks/disc").mkdir(parents=True)
    for place in (0, 2):
        drawn = true_landmarks(eyes[place]).disc.mask(true_landmarks(eyes[place]).shape)
        grey = np.repeat(drawn[..., None], 3, axis=2).astype(np.uint8) * 255
        write_png(grey, folder / f"masks/disc/{place}_disc.png")
    return folder, eyes


@pytest.fixture
def release(own, monkeypatch):
    enter(own[0], monkeypatch)
    return own


@pytest.fixture(scope="module")
def written(own):
    """The dataset with regions looked for, and what was said."""
    folder, eyes = own
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        leave_unrendered(patch)
        preprocess.main(flags(SMALL | {"out": "found"}))
    return open_dataset(str(folder / "found")), eyes


def truth(row):
    """Disc and fovea of a painted eye, as shares of its field of view's diameter."""
    found = true_landmarks(row)
    left, top = found.field.x - found.field.radius, found.field.y - found.field.radius
    across = 2 * found.field.radius
    return (
        ((found.disc.x - left) / across, (found.disc.y - top) / across),
        ((found.fovea.x - left) / across, (found.fovea.y - top) / across),
    )


def test_every_eye_has_a_map_and_columns(written):
    """Disc and fovea lie where they were painted, on the square and on its map."""
    dataset, eyes = written
    assert set(REGION_COLUMNS) <= set(dataset.frame)
    drawn = dataset.regions(np.arange(len(dataset)))
    sure = 0
    for place, row in enumerate(dataset.frame.to_dict("records")):
        found = regions_of_row(row, drawn[place])
        disc, fovea = truth(eyes[int(row["image_id"].rpartition("/")[2].removesuffix(".png"))])
        assert (drawn[place] & REGION_FLAGS["retina"]).any()
        if found.disc and found.fovea:
            sure += 1
            assert np.hypot(found.disc.x / SIZE - disc[0], found.disc.y / SIZE - disc[1]) < 0.05
            assert np.hypot(found.fovea.x / SIZE - fovea[0], found.fovea.y / SIZE - fovea[1]) < 0.07
            rows, columns = np.nonzero(drawn[place] & REGION_FLAGS["disc"])
            assert abs(columns.mean() - found.disc.x) < 2
            assert abs(rows.mean() - found.disc.y) < 2
    assert sure >= 0.7 * len(dataset)


def test_the_folder_keeps_a_sheet_of_the_least_certain(written):
    assert (written[0].paths[0] / "regions.png").is_file()


def test_without_regions_nothing_is_written_of_them(release):
    preprocess.main(flags(SMALL | {"out": "plain", "regions": "no"}))
    dataset = open_dataset(str(release[0] / "plain"))
    assert dataset.regions([0]) is None
    assert not set(REGION_COLUMNS) & set(dataset.frame)


@pytest.mark.slow
@pytest.mark.usefixtures("release", "written")
def test_a_dataset_without_regions_is_measured_all_the_same():
    """They are looked for on its squares, with little more left out than on the photographs."""
    preprocess.main(flags(SMALL | {"out": "plain", "regions": "no"}))
    with start_run("measure", {}) as run:
        widths = []
        for name in ("plain", "found"):
            with measured_eyes(open_dataset(name), run, kept="", workers=1) as measured:
                widths.append(measured.frame["disc_width"])
    searched, stored = widths
    both = searched.notna() & stored.notna()
    assert both.mean() > 0.5
    np.testing.assert_allclose(searched[both], stored[both], rtol=0.1)


@pytest.mark.slow
def test_a_mask_goes_before_what_is_found(release, written):
    preprocess.main(flags(SMALL | {"out": "drawn", "regions": "masks"}))
    dataset = open_dataset(str(release[0] / "drawn"))
    for row in dataset.frame.to_dict("records"):
        place = int(row["image_id"].rpartition("/")[2].removesuffix(".png"))
        (x, y), _ = truth(release[1][place])
        if place in (0, 2):
            assert row["region_disc_confidence"] == 1
            assert row["region_disc_x"] / SIZE == pytest.approx(x, abs=0.015)
            assert row["region_disc_y"] / SIZE == pytest.approx(y, abs=0.015)
    assert dataset.digest != written[0].digest


@pytest.mark.usefixtures("release")
def test_a_mask_of_no_eye_is_refused_before_any_is_read(tmp_path):
    (tmp_path / "cup").mkdir()
    (tmp_path / "cup" / "77.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"masks of no photograph here: cup/77\.png"):
        preprocess.prepare(
            preprocess.PreprocessConfig(**SMALL | {"same_person": False, "regions": str(tmp_path)}),
            None,
        )


@pytest.mark.usefixtures("release")
def test_regions_of_no_folder_are_refused():
    with pytest.raises(SystemExit) as stopped:
        preprocess.main(flags(SMALL | {"out": "none", "regions": "maybe"}))
    assert stopped.value.code == 2
