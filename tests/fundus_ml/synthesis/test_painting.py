"""Whole photographs: repeatable, mapped truly, and cued in the planted region alone."""

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import find_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.synthesis.anatomy import DISC_DIAMETER
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.painting import paint_photograph

EVERY = pytest.mark.parametrize("camera", CAMERAS.values(), ids=lambda camera: camera.name)
PLANTED = ("disc", "vessels", "macula")


def region(regions, name):
    """Where a map has one structure."""
    return regions & REGION_FLAGS[name] > 0


def widened(mask, pixels):
    """Grow a mask by a number of pixels in every direction."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)) > 0


def places(camera):
    """Retina units of every pixel, worked out apart from the painter."""
    y, x = np.indices((camera.height, camera.width)) + 0.5
    left = camera.width / 2 + camera.shift[0]
    top = camera.height / 2 + camera.shift[1]
    return (x - left) / camera.field_radius, (y - top) / camera.field_radius


@EVERY
@pytest.mark.parametrize("side", ["left", "right"])
def test_frame_and_map_fit_the_camera_and_the_eye(make_row, camera, side):
    """Sizes are the camera's, and every region is where its definition puts it."""
    sign = 1 if side == "right" else -1
    row = make_row(camera=camera.name, eye=side, disc_x=sign * 0.45, fovea_x=sign * -0.3)
    image, regions = paint_photograph(row)
    assert image.shape == (camera.height, camera.width, 3)
    assert regions.shape == image.shape[:2]
    assert image.dtype == regions.dtype == np.uint8
    assert (regions <= sum(REGION_FLAGS.values())).all()
    assert (regions[~region(regions, "retina")] == 0).all()

    x, y = places(camera)
    radius, one = np.hypot(x, y), 1 / camera.field_radius
    assert region(regions, "retina")[radius < 1 - 2 * one].all()
    if not camera.tab:
        assert not region(regions, "retina")[radius > 1 + 2 * one].any()
    in_view = region(regions, "retina")
    away = np.hypot((x - row["disc_x"]) / 0.15, (y - row["disc_y"]) / (0.15 * 1.08))
    disc = (away <= 1.15) & in_view
    macula = (np.hypot(x - row["fovea_x"], y - row["fovea_y"]) <= DISC_DIAMETER) & in_view
    periphery = (radius > 0.8) & in_view & ~disc & ~macula
    for name, expected in (("disc", disc), ("macula", macula), ("periphery", periphery)):
        assert (region(regions, name) != expected).sum() <= 4, name
    assert (x[disc].mean() > 0) == (side == "right")


@EVERY
def test_the_field_of_view_is_found_where_the_camera_has_it(make_row, camera):
    """The cropper, which knows no camera, finds the circle."""
    field = find_field_of_view(paint_photograph(make_row(camera=camera.name)).image)
    found = np.array([field.x, field.y, field.radius])
    truth = [camera.centre[0] - 0.5, camera.centre[1] - 0.5, camera.field_radius]
    np.testing.assert_allclose(found, truth, atol=0.01 * camera.field_radius)


@EVERY
def test_structures_look_like_themselves(make_row, camera):
    """Vessels are darker than the ground beside them, the disc brighter, the fovea darker."""
    image, regions = paint_photograph(make_row(camera=camera.name))
    green = image[..., 1].astype(float)
    vessels, disc = region(regions, "vessels"), region(regions, "disc")
    ground = region(regions, "retina") & ~vessels
    beside = widened(vessels, 4) & ground & ~widened(disc, 6)
    x, y = places(camera)
    inner = np.hypot(x, y) < 0.9
    core = vessels & ~widened(~vessels, 2) & ~widened(disc, 6) & inner
    local = cv2.blur(np.where(beside, green, 0), (31, 31)) / np.maximum(
        cv2.blur(beside.astype(float), (31, 31)), 1e-6
    )
    assert (green[core] < local[core]).mean() > 0.97
    assert green[disc].mean() > 1.3 * green[widened(disc, 12) & ~widened(disc, 2)].mean()
    radius = np.hypot(x + 0.30, y - 0.03)
    assert green[radius < 0.06].mean() < 0.9 * np.median(green[(radius > 0.22) & (radius < 0.3)])


def test_dark_lines_lie_in_the_vessels_region(make_row):
    """Against the same eye without blood, what darkens is the region, but for JPEG's ripples."""
    row = make_row(vessel_calibre=1.5, vessel_density=0.9)
    with_blood, regions = paint_photograph(row)
    without, _ = paint_photograph(row | {"vessel_calibre": 1e-6})
    darker = without.astype(float).sum(axis=2) - with_blood.astype(float).sum(axis=2)
    vessels = region(regions, "vessels")
    assert darker[vessels].sum() > 0.97 * darker.sum()
    assert (darker[vessels] > 0).mean() > 0.9


@EVERY
def test_painting_repeats_itself_and_knows_only_the_eye(make_row, camera):
    """The same row gives the same bytes, whatever else the row says of the person."""
    row = make_row(camera=camera.name)
    image, regions = paint_photograph(row)
    again = paint_photograph(
        row | {"sex": "male", "label": 1, "patient_id": "x", "disc_trait": 9.0}
    )
    np.testing.assert_array_equal(image, again.image)
    np.testing.assert_array_equal(regions, again.regions)
    other = paint_photograph(row | {"paint_seed": 8}).image
    assert (other != image).mean() > 0.3


def test_another_process_paints_the_same_bytes(make_row):
    """Neither hash randomisation nor OpenCV's threads move a pixel."""
    program = (
        "import hashlib, pickle, sys\n"
        "from fundus_ml.imaging.opencv import cv2\n"
        "from fundus_ml.synthesis.painting import paint_photograph\n"
        "cv2.setNumThreads(1)\n"
        "image, regions = paint_photograph(pickle.load(sys.stdin.buffer))\n"
        "print(hashlib.sha256(image.tobytes() + regions.tobytes()).hexdigest())\n"
    )
    row = make_row()
    image, regions = paint_photograph(row)
    ours = hashlib.sha256(image.tobytes() + regions.tobytes()).hexdigest()
    theirs = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(row),
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )
    assert theirs.stdout.decode().strip() == ours


def test_a_disc_beyond_the_frame_is_simply_not_seen(make_row):
    """An eye that looked far away has no disc in its map, and no error."""
    image, regions = paint_photograph(make_row(disc_x=1.8, fovea_x=1.05))
    assert not region(regions, "disc").any()
    assert region(regions, "macula").any()
    assert image.max() > 100


def test_an_unknown_camera_is_refused(make_row):
    """The message lists the cameras there are."""
    with pytest.raises(InputError, match=r"camera=Box: allowed: Aurora 45, .*, Osprey NM"):
        paint_photograph(make_row(camera="Box"))


def test_a_missing_column_is_refused(make_row):
    """The painter passes on what the eye misses."""
    row = make_row()
    del row["cup_disc_ratio"]
    with pytest.raises(InputError, match="columns cup_disc_ratio are missing"):
        paint_photograph(row)


@pytest.mark.parametrize("cue", PLANTED)
def test_a_cue_changes_its_region_alone(painted, cue):
    """Nearly all of the squared change of the same eye lies in the planted region."""
    near, exact = [], []
    for plain, cued in zip(painted["none"][1], painted[cue][1], strict=True):
        energy = ((plain.image.astype(float) - cued.image) ** 2).sum(axis=2)
        planted = region(plain.regions | cued.regions, cue)
        exact.append(energy[planted].sum() / energy.sum())
        near.append(energy[widened(planted, 2)].sum() / energy.sum())
        others = [name for name in PLANTED if name != cue]
        for name in others:
            np.testing.assert_array_equal(region(plain.regions, name), region(cued.regions, name))
    assert min(near) > 0.95
    assert np.mean(exact) > 0.92


def summaries(images, regions):
    """Per eye one number for each structure that its cue should move, read off 64 pixels."""
    green = images[..., 1].astype(float)
    y, x = np.indices(green.shape[1:])
    found = {"disc": [], "vessels": [], "macula": []}
    for picture, flags in zip(green, regions, strict=True):
        vessels, macula = region(flags, "vessels"), region(flags, "macula")
        disc = region(flags, "disc")
        found["disc"].append((picture - np.median(picture)).clip(0)[disc].sum() * disc.sum())
        found["vessels"].append(vessels.mean())
        radius = np.hypot(y - y[macula].mean(), x - x[macula].mean()) * 2 / 64 / DISC_DIAMETER
        ring = (radius > 0.8) & (radius < 1.3) & ~vessels
        found["macula"].append(-picture[radius < 0.35].mean() / np.median(picture[ring]))
    return found


@pytest.mark.parametrize("cue", PLANTED)
def test_a_default_cue_can_be_read_off_its_own_structure(painted, cue):
    """A summary of the planted structure tells the sexes apart; the others do not move."""
    table, _, images, regions = painted[cue]
    male = (table["sex"] == "male").to_numpy(int)
    found = summaries(images, regions)
    plain = summaries(*painted["none"][2:])
    assert roc_auc_score(male, found[cue]) > 0.93
    for name in set(PLANTED) - {cue}:
        np.testing.assert_allclose(found[name], plain[name], rtol=0.25)


def test_without_a_cue_no_region_knows_the_sex(painted):
    """Mean colour and area of every region differ no more than chance lets them."""
    table, _, images, regions = painted["none"]
    one_eye = ~table["patient_id"].duplicated().to_numpy()
    male = (table["sex"] == "male").to_numpy()[one_eye]
    numbers = []
    for name in [name for name, flag in REGION_FLAGS.items() if (regions & flag).any()]:
        mask = region(regions, name)
        area = mask.sum(axis=(1, 2))
        mean = (images * mask[..., None]).sum(axis=(1, 2)) / area[:, None]
        numbers += [area, *mean.T]
    measured = np.array(numbers, float)[:, one_eye]
    measured = measured[measured.std(axis=1) > 0]
    p = ttest_ind(measured[:, male], measured[:, ~male], axis=1).pvalue
    assert p.min() > 0.05 / len(p)
