"""The lit circle against drawn ones and DRIVE's masks; photographs without one."""

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fundus_ml.imaging.field_of_view import (
    LEAST_CONFIDENCE,
    SURE,
    FieldOfView,
    NoFieldOfView,
    find_field_of_view,
)
from tests.fundus_ml.imaging.found_fields import assert_near, never_sure
from tests.fundus_ml.tiny_eyes import draw_field


@pytest.fixture
def real_data():
    """The folder of real photographs."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    return Path(os.environ["FUNDUS_REAL_DATA"])


FRAMES = {
    "whole": (300, 400, {"x": 195.0, "y": 148.0, "radius": 120.0}),
    "small frame": (120, 90, {"x": 44.0, "y": 60.0, "radius": 40.0}),
    "camera-sized": (900, 1350, {"x": 640.0, "y": 455.0, "radius": 420.0}),
    "cut above and below": (256, 384, {"x": 190.0, "y": 128.0, "radius": 150.0}),
    "cut at the left": (256, 256, {"x": 70.0, "y": 128.0, "radius": 110.0}),
    "squashed and cut": (320, 320, {"x": 160.0, "y": 160.0, "radius": 212.0, "aspect": 0.75}),
    "squashed whole": (320, 320, {"x": 160.0, "y": 160.0, "radius": 155.0, "aspect": 0.88}),
    "squashed upright": (320, 320, {"x": 160.0, "y": 160.0, "radius": 115.0, "aspect": 1.3}),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("surround", [0, 22])
def test_a_drawn_circle_is_found(frame, surround):
    """Whole, cut by the frame, or squashed with it, over black and over a camera's grey."""
    height, width, drawn = FRAMES[frame]
    field = find_field_of_view(draw_field(height, width, **drawn, surround=surround))
    assert_near(field, drawn, longest=max(height, width))
    if "aspect" not in drawn:
        assert field.aspect == 1.0


def test_notch_label_shadow_and_noise_are_outvoted():
    """What real edges carry: a notch, text beside it, a dark side, grain."""
    drawn = {"x": 150.0, "y": 128.0, "radius": 110.0}
    image = draw_field(256, 320, **drawn)
    cv2.circle(image, (262, 128), 9, (180, 90, 40), -1)
    cv2.putText(image, "OD 45", (255, 240), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (250, 250, 250))
    image = (image * np.linspace(0.25, 1, 320)[None, :, None]).astype(np.float64)
    image += np.random.default_rng(0).normal(scale=2.0, size=image.shape)
    found = find_field_of_view(image.clip(0, 255).astype(np.uint8))
    assert_near(found, drawn, longest=320, thousandths=4.0)


def test_white_corners_are_no_retina():
    """Paper around a scan is brighter than any eye."""
    drawn = {"x": 128.0, "y": 128.0, "radius": 100.0}
    image = draw_field(256, 256, **drawn)
    for y in (slice(24), slice(-24, None)):
        for x in (slice(24), slice(-24, None)):
            image[y, x] = 255
    assert_near(find_field_of_view(image), drawn, longest=256)


@pytest.mark.parametrize("paper", [(255, 255, 255), (248, 246, 240)])
def test_a_scan_on_paper_is_found(paper):
    """Paper all around, with a date on it."""
    drawn = {"x": 190.0, "y": 128.0, "radius": 112.0}
    image = draw_field(256, 384, **drawn)
    share = draw_field(256, 384, **drawn, colour=(255, 255, 255)) / 255
    image = (share * image + (1 - share) * paper).round().astype(np.uint8)
    cv2.putText(image, "12.3.", (5, 250), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0))
    found = find_field_of_view(image)
    assert_near(found, drawn, longest=384)
    assert found.confidence >= SURE


def test_paper_around_a_dark_frame_leaves_no_line():
    """Between white bars and black there is a grey line, which is not the edge."""
    drawn = {"x": 160.0, "y": 160.0, "radius": 130.0}
    image = draw_field(320, 320, **drawn)
    image[:20] = image[-20:] = 255
    image[:, :15] = image[:, -15:] = 255
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    assert_near(find_field_of_view(image), drawn, longest=320, thousandths=4.0)


@pytest.mark.parametrize("halo", [25, 60])
def test_a_halo_is_not_the_field(halo):
    """Light scattered in the camera may end in an edge of its own, wider than the field's."""
    drawn = {"x": 160.0, "y": 155.0, "radius": 120.0}
    image = draw_field(320, 320, x=160.0, y=158.0, radius=138.0, colour=(halo, halo, halo))
    image = np.maximum(image, draw_field(320, 320, **drawn, colour=(230, 200, 150)))
    assert_near(find_field_of_view(image), drawn, longest=320)


def test_a_dark_eye_is_found_though_its_rim_is_darkest():
    """Vignetting is no halo: there is no edge within."""
    drawn = {"x": 160.0, "y": 160.0, "radius": 140.0}
    rows, columns = np.indices((320, 320))
    light = 1 - 0.85 * (np.hypot(columns - 160, rows - 160) / 140).clip(0, 1) ** 2
    image = draw_field(320, 320, **drawn, colour=(90, 45, 20)) * light[..., None]
    assert_near(find_field_of_view(image.astype(np.uint8)), drawn, longest=320)


@pytest.mark.parametrize(
    ("place", "cut"),
    [
        ({"x": 150.0, "y": 100.0, "radius": 90.0}, ()),
        ({"x": 150.0, "y": 100.0, "radius": 101.0}, ()),
        ({"x": 150.0, "y": 100.0, "radius": 120.0}, ("top", "bottom")),
        ({"x": 80.0, "y": 110.0, "radius": 97.0}, ("left", "bottom")),
        ({"x": 230.0, "y": 84.0, "radius": 96.0}, ("top", "right")),
        ({"x": 90.0, "y": 100.0, "radius": 110.0}, ("left", "top", "bottom")),
    ],
)
def test_the_sides_that_cut_are_named_in_order(place, cut):
    """A circle that only touches the frame is whole."""
    field = find_field_of_view(draw_field(200, 300, **place))
    assert field.cut == cut
    assert field.confidence >= SURE


def test_straight_cuts_inside_the_frame_leave_it_sure():
    """Bars that a camera drew over the circle are not the circle's fault."""
    drawn = {"x": 150.0, "y": 150.0, "radius": 130.0}
    image = draw_field(300, 300, **drawn)
    image[:42] = image[-46:] = 0
    field = find_field_of_view(image)
    assert_near(field, drawn, longest=300)
    assert field.confidence >= SURE
    assert field.cut == ("top", "bottom")


def test_confidence_falls_as_the_edge_is_lost_until_there_is_no_field():
    """Sure, then uncertain, then refused: shadow that eats ever more of the circle."""
    confidences = []
    for reach in (0, 15, 40, 75, 120):
        image = draw_field(300, 300, x=150.0, y=150.0, radius=130.0)
        rng = np.random.default_rng(0)
        jagged = 20 + reach + np.cumsum(rng.normal(scale=2.0, size=300))
        image[np.arange(300)[:, None] < jagged] = 0
        try:
            confidences.append(find_field_of_view(image).confidence)
        except NoFieldOfView:
            confidences.append(0.0)
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] > SURE
    assert confidences[-1] == 0
    assert any(LEAST_CONFIDENCE <= confidence < SURE for confidence in confidences)


def test_an_aspect_seen_along_one_axis_only_is_not_believed():
    """Both ends of a wide ellipse, cut short: what is found is round, or nothing."""
    image = draw_field(120, 420, x=210.0, y=60.0, radius=130.0, aspect=1.5)
    try:
        assert find_field_of_view(image).aspect == 1.0
    except NoFieldOfView as error:
        assert error.reason == "circle does not fit"  # noqa: PT017 (either is right)


@pytest.mark.parametrize("aspect", [0.9, 0.95, 0.98, 1.0, 1.03, 1.1])
def test_small_squashes_are_told_from_round(aspect):
    """Centre and radius within 1 % of the radius whatever the squash."""
    drawn = {"x": 171.0, "y": 148.0, "radius": 130.0, "aspect": aspect}
    field = find_field_of_view(draw_field(300, 340, **drawn))
    assert field.radius == pytest.approx(130, rel=0.01)
    assert (field.x, field.y) == pytest.approx((171, 148), abs=1.3)
    assert field.aspect == pytest.approx(aspect, rel=0.015)


def test_a_scaled_field_is_the_field_of_the_scaled_photograph():
    """Pixel centres: block averages by 3 across and 2 down move no edge."""
    field = FieldOfView(100.0, 80.0, 60.0, 1.2, ("left",), 0.9)
    small = field.scaled(1 / 3, 1 / 2)
    assert (small.cut, small.confidence) == (("left",), 0.9)
    for angle in np.linspace(0, 6, 7):
        x = field.x + field.radius * field.aspect * np.cos(angle)
        y = field.y + field.radius * np.sin(angle)
        small_x = small.x + small.radius * small.aspect * np.cos(angle)
        small_y = small.y + small.radius * np.sin(angle)
        # Edges of pixels, at halves, are where both frames begin.
        assert ((x + 0.5) / 3, (y + 0.5) / 2) == pytest.approx((small_x + 0.5, small_y + 0.5))
    back = small.scaled(3, 2)
    assert (back.x, back.y, back.radius, back.aspect) == pytest.approx((100, 80, 60, 1.2))


def test_the_circle_moves_and_grows_with_the_photograph():
    """Shifted, mirrored and enlarged frames give the circle shifted, mirrored and enlarged."""
    image = draw_field(200, 300, x=140.0, y=95.0, radius=80.0)
    field = find_field_of_view(image)
    mirrored = find_field_of_view(np.ascontiguousarray(image[:, ::-1]))
    larger = find_field_of_view(image.repeat(3, axis=0).repeat(3, axis=1))
    assert mirrored.x == pytest.approx(299 - field.x, abs=0.3)
    assert larger.radius == pytest.approx(3 * field.radius, rel=0.01)
    assert (larger.x + 0.5, larger.y + 0.5) == pytest.approx(
        (3 * field.x + 1.5, 3 * field.y + 1.5), abs=1.5
    )


def two_circles():
    """A montage of two fields, as some releases hold."""
    first = draw_field(200, 300, x=95.0, y=90.0, radius=75.0)
    return np.maximum(first, draw_field(200, 300, x=200.0, y=110.0, radius=75.0))


@pytest.mark.parametrize(
    ("image", "reason", "detail"),
    [
        (np.zeros((90, 120, 3), np.uint8), "no bright field", "brightest 0 of 255 over a surround"),
        (np.full((90, 120, 3), 90, np.uint8), "no bright field", "over a surround of 90"),
        (np.full((1, 1, 3), 90, np.uint8), "no bright field", "surround of 90"),
        (
            np.repeat(np.uint8([0, 99]), 45)[:, None, None] * np.ones((90, 120, 3), np.uint8),
            "circle does not fit",
            "bends too much or too little",
        ),
        (
            draw_field(90, 120, x=-5, y=-5, radius=12) | np.uint8(9),
            "no bright field",
            "over a surround of 9",
        ),
        (
            np.pad(np.full((60, 90, 3), 99, np.uint8), ((15,), (15,), (0,))),
            "circle does not fit",
            "%",
        ),
        (two_circles(), "several eyes", r"a lit area \d\d% of the circle's size lies beside it"),
    ],
)
def test_a_photograph_without_a_lit_circle_is_refused_with_its_reason(image, reason, detail):
    """Reason is a class to count by, detail what was seen."""
    with pytest.raises(NoFieldOfView, match=detail) as caught:
        find_field_of_view(image)
    assert caught.value.reason == reason


def corner_arcs(turn, *, corner=40.0, shape=None):
    """A frame inside a circle of radius 150 that shows ``turn`` of it, in four arcs."""
    reach = [np.deg2rad(corner) + half * np.pi / 4 * turn for half in (-1, 1)]
    half_width, half_height = 150 * np.cos(reach[0]), 150 * np.sin(reach[1])
    width, height = round(2 * half_width), round(2 * half_height)
    drawn = {"x": (width - 1) / 2 + 2, "y": (height - 1) / 2 - 1, "radius": 150.0}
    image = draw_field(height, width, **drawn, surround=2)
    if shape is not None:
        rows, columns = np.indices((height, width))
        across, down = np.abs(columns - (width - 1) / 2), np.abs(rows - (height - 1) / 2)
        image = np.where(shape(half_width - across, half_height - down)[..., None], image.max(), 2)
        image = (image * np.array([1, 0.5, 0.25])).astype(np.uint8)
    noise = np.random.default_rng(0).normal(scale=1.0, size=image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), drawn


@pytest.mark.parametrize(("turn", "corner"), [(0.23, 40), (0.2, 45), (0.18, 36), (0.16, 42)])
def test_four_corner_arcs_fix_a_circle(turn, corner):
    """Less than a quarter of the turn, in four places: sure, and in place."""
    image, drawn = corner_arcs(turn, corner=corner)
    found = find_field_of_view(image)
    assert_near(found, drawn, longest=max(image.shape), thousandths=4.0)
    assert found.confidence >= SURE
    assert found.cut == ("left", "top", "right", "bottom")


@pytest.mark.parametrize(
    "shape",
    [
        lambda right, down: right + down > 26,
        lambda right, down: np.hypot((40 - right).clip(0), (40 - down).clip(0)) < 40,
    ],
    ids=["cut", "rounded"],
)
def test_corners_of_another_shape_are_no_circle(shape):
    """A window's rounded corners and an octagon lie near a circle, and bend otherwise."""
    assert never_sure(corner_arcs(0.2, corner=45, shape=shape)[0])


@pytest.mark.parametrize("away", [0, 40])
def test_bright_atrophy_does_not_hide_the_dim_periphery(away):
    """A round white patch, whose light makes all around it look unlit, is not the field."""
    drawn = {"x": 150.0, "y": 150.0, "radius": 130.0}
    image = draw_field(300, 320, **drawn, colour=(19, 11, 6), surround=1)
    cv2.circle(image, (150 + away, 150), 55, (255, 240, 200), -1)
    found = find_field_of_view(image)
    assert_near(found, drawn, longest=320, thousandths=4.0)
    assert found.confidence >= SURE


def test_a_frame_full_of_retina_has_no_edge():
    """Bright to all four sides but for dark corners: nothing to fit."""
    image = np.full((200, 200, 3), 120, np.uint8)
    for y in (0, -1):
        for x in (0, -1):
            image[y, x] = 0
    image[:7, :7] = 0
    with pytest.raises(
        NoFieldOfView, match="points of the lit area's edge are inside it"
    ) as caught:
        find_field_of_view(image)
    assert caught.value.reason == "no edge in the frame"


def test_a_ring_is_no_field():
    """A circle whose inside is dark is refused."""
    image = draw_field(200, 200, x=100, y=100, radius=90)
    image[draw_field(200, 200, x=100, y=100, radius=80)[..., 0] > 0] = 0
    with pytest.raises(NoFieldOfView, match=r"21% of it is lit: confidence 0.21, 0.6"):
        find_field_of_view(image)


def test_a_short_arc_is_no_field():
    """A sixth of the turn leaves the circle open to noise."""
    with pytest.raises(NoFieldOfView, match=r"14% of its turn is seen: confidence 0.42, 0.6"):
        find_field_of_view(draw_field(120, 300, x=130.0, y=60.0, radius=160.0))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=80)
def test_any_array_gives_a_field_or_a_reason(height, width, seed):
    """Noise and blocks of any size raise nothing else."""
    rng = np.random.default_rng(seed)
    image = (rng.random((height, width, 3)) ** rng.integers(1, 6) * 255).astype(np.uint8)
    image[: rng.integers(height + 1), : rng.integers(width + 1)] = 0
    try:
        field = find_field_of_view(image)
    except NoFieldOfView as error:
        assert str(error) == f"{error.reason}: {error.detail}"  # noqa: PT017 (either is right)
    else:
        assert field.radius > 0
        assert field.aspect > 0


def test_a_refusal_survives_the_way_back_from_a_worker():
    """Both texts are still there after pickling."""
    error = pickle.loads(pickle.dumps(NoFieldOfView("no bright field", "black")))  # noqa: S301
    assert (error.reason, error.detail, str(error)) == (
        "no bright field",
        "black",
        "no bright field: black",
    )


@pytest.mark.real_data
def test_drives_own_masks_agree(real_data):
    """Intersection over union with the field-of-view masks of DRIVE."""
    shares = []
    for path in sorted((real_data / "anatomy/drive/images").glob("*.jpg")):
        field = find_field_of_view(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
        with Image.open(real_data / "anatomy/drive/mask" / f"{path.stem}_mask.gif") as judge:
            mask = np.asarray(judge.convert("L")) > 0
        rows, columns = np.indices(mask.shape)
        inside = np.hypot((columns - field.x) / field.aspect, rows - field.y) <= field.radius
        shares.append((inside & mask).sum() / (inside | mask).sum())
        assert field.aspect == 1.0
    assert len(shares) == 20
    assert min(shares) > 0.99


@pytest.mark.real_data
def test_full_camera_frames_are_not_taken_for_squashed(real_data):
    """IDRiD and CHASE_DB1 are as the camera left them."""
    paths = [
        *sorted((real_data / "fullsize").glob("*.jpg"))[:3],
        *sorted((real_data / "anatomy/chase_db1").glob("*.jpg"))[:6],
    ]
    fields = [find_field_of_view(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) for path in paths]
    assert [field.aspect for field in fields] == [1.0] * 9


@pytest.mark.real_data
def test_odirs_squashed_frames_are_found_and_montages_refused(real_data):
    """Seen by eye: three squashed frames of three shapes, a round one, two montages."""
    folder = real_data / "odir/images"
    for name, aspect in (
        ("4274_left", 0.82),
        ("547_left", 0.89),
        ("240_left", 0.68),
        ("4191_right", 1.0),
    ):
        field = find_field_of_view(cv2.imread(str(folder / f"{name}.jpg"), cv2.IMREAD_COLOR_RGB))
        assert field.aspect == pytest.approx(aspect, abs=0.02)
        assert field.x == pytest.approx(159.5, abs=3)
    for name in ("2340_left", "3330_left"):
        with pytest.raises(NoFieldOfView, match="circle does not fit"):
            find_field_of_view(cv2.imread(str(folder / f"{name}.jpg"), cv2.IMREAD_COLOR_RGB))
