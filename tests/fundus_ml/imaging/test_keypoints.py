"""Keypoints lie on vessels, move with the picture, and do not see what stays with the camera."""

import cv2
import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging import keypoints
from fundus_ml.imaging.keypoints import (
    DESCRIPTOR,
    FEATURE_SHAPE,
    KEYPOINTS,
    VIEW_SIZE,
    describe_eye,
    read_features,
)
from tests.fundus_ml.painted_views import paint_photographs, view_of


@pytest.fixture(scope="module")
def view():
    """One painted eye."""
    return view_of(paint_photographs(1, seed=4)[1][0])


def draw_branches(*, x, y):
    """A flat field with one dark fork and one dark crossing, both drawn from (x, y)."""
    canvas = np.full((VIEW_SIZE, VIEW_SIZE, 3), (170, 100, 50), np.uint8)
    for end in ((-50, -40), (60, -30), (10, 60)):
        cv2.line(canvas, (x, y), (x + end[0], y + end[1]), (90, 40, 20), 3, cv2.LINE_AA)
    rows, columns = np.indices((VIEW_SIZE, VIEW_SIZE)) - 127.5
    canvas[np.hypot(rows, columns) > 128] = 0
    return canvas


def test_features_have_one_shape_and_repeat(view):
    features = describe_eye(view)
    assert features.shape == FEATURE_SHAPE == (KEYPOINTS, DESCRIPTOR + 2)
    assert features.dtype == np.uint8
    assert features.any(axis=1).sum() > 60
    np.testing.assert_array_equal(features, describe_eye(view.copy()))


def test_keypoints_come_first_and_stay_off_the_edge(view):
    found = read_features(describe_eye(view))
    count = found.present.sum()
    assert found.present[:count].all()
    radii = np.hypot(*found.places[:count].T)
    assert radii.max() <= 0.93 + 1 / 128


def test_keypoints_move_with_the_picture():
    still, moved = (describe_eye(draw_branches(x=120 + step, y=130)) for step in (0, 14))
    for features in (still, moved):
        assert 0 < features.any(axis=1).sum() < KEYPOINTS
    here, there = (read_features(features) for features in (still, moved))
    inner = np.flatnonzero(here.present & (np.hypot(*here.places.T) < 0.4))
    assert len(inner) > 5
    best = (here.descriptors @ there.descriptors.T).argmax(axis=1)[inner]
    steps = (there.places[best] - here.places[inner]) * VIEW_SIZE / 2
    assert np.median(np.abs(steps - (14, 0)), axis=0).max() <= 1


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_eye_without_structure_has_no_keypoints(level):
    canvas = np.full((VIEW_SIZE, VIEW_SIZE, 3), level, np.uint8)
    assert not describe_eye(canvas).any()


def test_noise_of_a_dim_camera_has_few_keypoints():
    rng = np.random.default_rng(2)
    noise = rng.normal(40, 2, (VIEW_SIZE, VIEW_SIZE, 3)).astype(np.uint8)
    assert describe_eye(noise).any(axis=1).sum() < 16


def test_a_bright_spot_is_fainter_than_a_dark_one():
    canvas = np.full((VIEW_SIZE, VIEW_SIZE, 3), (170, 100, 50), np.uint8)
    lit = np.ones((VIEW_SIZE // 2, VIEW_SIZE // 2), bool)
    seen = []
    for change in (60, -60):
        spotted = canvas.copy()
        cv2.circle(spotted, (128, 128), 5, (170, 100 + change, 50), -1, cv2.LINE_AA)
        dark = keypoints._dark_structure(spotted[::2, ::2, 1], lit)
        seen.append(200 - int(dark.min()))
    bright_ring, dark_spot = seen
    assert bright_ring < 0.15 * dark_spot


def test_written_dates_outside_the_field_make_no_keypoints(view):
    dated = view.copy()
    cv2.putText(dated, "2019", (2, 16), cv2.FONT_HERSHEY_PLAIN, 1, (255, 255, 255))
    rows, columns = np.indices((VIEW_SIZE, VIEW_SIZE)) - 127.5
    outside = np.hypot(rows, columns) > 130
    assert (dated != view)[outside].any()
    dated[~outside] = view[~outside]
    np.testing.assert_array_equal(describe_eye(dated), describe_eye(view))


def test_features_read_as_root_sift(view):
    features = np.stack([describe_eye(view), np.zeros(FEATURE_SHAPE, np.uint8)])
    read = read_features(features)
    assert read.present.shape == (2, KEYPOINTS)
    assert not read.present[1].any()
    for row in (0, 7, 30):
        plain = features[0, row, :DESCRIPTOR].tolist()
        slow = [(value / sum(plain)) ** 0.5 for value in plain]
        np.testing.assert_allclose(read.descriptors[0, row], slow, rtol=1e-5)
        x, y = features[0, row, DESCRIPTOR:].tolist()
        np.testing.assert_allclose(read.places[0, row], ((x - 127.5) / 128, (y - 127.5) / 128))
    lengths = np.linalg.norm(read.descriptors, axis=-1)
    np.testing.assert_allclose(lengths, read.present, atol=1e-5)


@pytest.mark.parametrize(
    "view",
    [
        np.zeros((VIEW_SIZE, VIEW_SIZE), np.uint8),
        np.zeros((300, 300, 3), np.uint8),
        np.zeros((VIEW_SIZE, VIEW_SIZE, 3), np.float32),
    ],
)
def test_another_view_is_refused(view):
    with pytest.raises(InputError, match=r"view: must be uint8 \(256, 256, 3\), not"):
        describe_eye(view)
