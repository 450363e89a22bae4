"""What lies between a straight cut and the circle is surround; without a cut nothing changes."""

from functools import cache

import cv2
import numpy as np
import pytest

from fundus_ml.imaging.cuts import beyond_cuts
from fundus_ml.imaging.field import Cut
from fundus_ml.imaging.field_of_view import (
    SURE,
    FieldOfView,
    crop_to_field_of_view,
    find_field_of_view,
)
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from tests.fundus_ml.tiny_eyes import draw_field

HEIGHT, WIDTH = 330, 360
CIRCLE = {"x": 180.0, "y": 165.0, "radius": 150.0}
STRIPS = {
    "dark, white letters": ((4, 4, 4), (255, 255, 255)),
    "dark, yellow letters": ((8, 6, 9), (255, 255, 0)),
    "dark, green letters": ((0, 0, 0), (0, 255, 0)),
    "white, black letters": ((255, 255, 255), (0, 0, 0)),
}
SIDES = {
    "bottom": {"bottom": 0.8},
    "top and bottom": {"top": 0.82, "bottom": 0.9},
    "left": {"left": 0.85},
    "left and right": {"left": 0.75, "right": 0.92},
    "three": {"left": 0.9, "top": 0.85, "right": 0.9},
    "all four": {"left": 0.9, "top": 0.85, "right": 0.88, "bottom": 0.92},
}
DARK = STRIPS["dark, white letters"]


def outwards(sides, degrees, height=HEIGHT, width=WIDTH):
    """Pixels by which each place lies outside the nearest cut; below 0 on the retina."""
    rows, columns = np.mgrid[:height, :width]
    right, down = columns - CIRCLE["x"], rows - CIRCLE["y"]
    slope = np.tan(np.deg2rad(degrees))
    ways = {
        "left": -right - slope * down,
        "top": -down - slope * right,
        "right": right - slope * down,
        "bottom": down - slope * right,
    }
    beyond = [ways[side] - share * CIRCLE["radius"] for side, share in sides.items()]
    return np.max(beyond, axis=0) * np.cos(np.deg2rad(degrees))


def textured(image):
    """Grain and a few vessels, as on a retina."""
    rng = np.random.default_rng(0)
    for place in range(60, WIDTH, 60):
        cv2.line(image, (place, 0), (WIDTH - place, HEIGHT), (120, 45, 20), 3)
    noisy = image + rng.normal(scale=2.0, size=image.shape[:2])[..., None]
    return cv2.GaussianBlur(noisy.clip(0, 255), (0, 0), 0.7)


@cache
def whole_eye():
    """The eye before anything cuts it."""
    retina = textured(np.full((HEIGHT, WIDTH, 3), (180, 90, 40), np.uint8))
    through = draw_field(HEIGHT, WIDTH, **CIRCLE, colour=(255, 255, 255))[..., :1] / 255
    return through * retina


def cut_eye(sides, *, strip=DARK, degrees=0.0, writing=True):
    """An eye whose circle straight edges cut, and where they do."""
    paper, ink = strip
    away = outwards(sides, degrees)
    share = np.clip(0.5 - away, 0, 1)[..., None]
    image = (share * whole_eye() + (1 - share) * paper).round().astype(np.uint8)
    if writing:
        written = image.copy()
        for row in range(0, HEIGHT, 28):
            cv2.putText(written, "F 054Y OD 12.3.87 " * 2, (0, row), 0, 0.5, ink, 1)
        cv2.rectangle(written, (140, 2), (220, 6), ink, cv2.FILLED)
        image[away > 1] = written[away > 1]
    return image, away


def seen_in_crop(values, field, size):
    """What an image ``(H, W)`` of distances holds at the middles of a crop's pixels."""
    step = 2 * field.radius / size
    places = (np.arange(size) + 0.5) * step - field.radius
    across = (field.x + places).astype(np.float32)[None].repeat(size, axis=0)
    down = (field.y + places).astype(np.float32)[:, None].repeat(size, axis=1)
    return cv2.remap(values.astype(np.float32), across, down, cv2.INTER_LINEAR) / step


@pytest.mark.parametrize("strip", STRIPS)
@pytest.mark.parametrize(
    ("sides", "degrees", "size"),
    [
        ("bottom", 0.0, 300),
        ("top and bottom", 1.0, 128),
        ("left", -1.5, 300),
        ("left and right", 0.0, 64),
        ("three", 1.0, 450),
        ("all four", -1.0, 300),
    ],
)
def test_writing_between_cut_and_circle_is_black_and_the_retina_stays(strip, sides, degrees, size):
    """On any side, on several, tilted, on dark and white, at any size."""
    image, away = cut_eye(SIDES[sides], strip=STRIPS[strip], degrees=degrees)
    assert_strips_alone_are_black(image, away, SIDES[sides], size)


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
@pytest.mark.parametrize("grey", [60, 150])
def test_a_grey_strip_goes_too(side, grey):
    """A viewer's bar is neither dark nor white; a retina is never grey."""
    strip = ((grey, grey, grey), (250, 250, 250))
    image, away = cut_eye({side: 0.85}, strip=strip, degrees=0.5)
    assert_strips_alone_are_black(image, away, {side}, 256)


def assert_strips_alone_are_black(image, away, sides, size):
    field = find_field_of_view(image)
    crop = crop_to_field_of_view(image, field, size=size, surround="black")
    kept = crop_to_field_of_view(image, field, size=size)
    beyond = seen_in_crop(away, field, size)
    middles = (np.arange(size) + 0.5) * 2 / size - 1
    inside = np.hypot(middles[:, None], middles) < 0.99
    assert field.confidence >= SURE
    assert set(sides) <= set(field.cut)
    near = max(1.5, size / 150)
    assert crop[inside & (beyond > near)].max() == 0
    retina = inside & (beyond < -near)
    np.testing.assert_array_equal(crop[retina], kept[retina])


@pytest.mark.parametrize("frame", [8, 20])
@pytest.mark.parametrize("paper", [255, 0])
def test_a_white_frame_around_a_cut_circle_goes(frame, paper):
    """White all around, or a white line at the frame's edge."""
    image, away = cut_eye(SIDES["top and bottom"], writing=False)
    outer = np.full_like(image, 255)
    if not paper:
        outer[4:-4, 4:-4] = 0
    outer[frame:-frame, frame:-frame] = image[frame:-frame, frame:-frame]
    field = find_field_of_view(outer)
    crop = crop_to_field_of_view(outer, field, size=300, surround="black")
    beyond = seen_in_crop(away, field, 300)
    assert beyond.max() > 8
    assert crop[beyond > 2].max() == 0


def test_the_map_of_regions_ends_where_the_picture_does():
    """Both lose the same pixels."""
    image, _ = cut_eye(SIDES["top and bottom"], degrees=1.0)
    field = find_field_of_view(image)
    flags = np.full(image.shape[:2], REGION_FLAGS["retina"], np.uint8)
    square = crop_to_field_of_view(
        flags, field, size=128, interpolation="nearest", surround="black"
    )
    bright = np.full_like(image, 200)
    picture = crop_to_field_of_view(bright, field, size=128, surround="black")
    np.testing.assert_array_equal(square > 0, picture[..., 0] > 0)
    whole = crop_to_field_of_view(flags, FieldOfView(**CIRCLE), size=128, surround="black")
    assert np.count_nonzero(square) < 0.96 * np.count_nonzero(whole)


def test_keep_keeps_what_stands_in_the_strips():
    """Asked to keep the surround, nothing is blackened."""
    image, _ = cut_eye(SIDES["bottom"])
    field = find_field_of_view(image)
    uncut = FieldOfView(field.x, field.y, field.radius)
    np.testing.assert_array_equal(
        crop_to_field_of_view(image, field, size=200), crop_to_field_of_view(image, uncut, size=200)
    )


def shaded_below(image):
    """An eyelid's shadow fades over a tenth of the radius, level as a cut."""
    rows = np.arange(HEIGHT)[:, None, None]
    return (image * np.clip((290 - rows) / 20, 0.03, 1)).astype(np.uint8)


def glaring_below(image):
    """A bright haze along the lower rim, as bent as the rim."""
    glare = draw_field(HEIGHT, WIDTH, x=180.0, y=155.0, radius=146.0, colour=(255, 255, 255))
    eye = image.max(axis=2) > 60
    image = image.copy()
    image[eye & (glare[..., 0] == 0)] = 255
    return image


def vignetted(image):
    """Dark towards the rim all around."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot(columns - CIRCLE["x"], rows - CIRCLE["y"]) / CIRCLE["radius"]
    return (image * (1 - 0.9 * radius.clip(0, 1) ** 4)[..., None]).astype(np.uint8)


def framed(image):
    """The photograph's own edge cuts, above and below."""
    return image[40:-40]


@pytest.mark.parametrize(
    "change", [np.copy, shaded_below, glaring_below, vignetted, framed], ids=lambda f: f.__name__
)
def test_nothing_is_cut_from_an_eye_without_straight_edges(change):
    """Whole, shaded, glaring, vignetted eyes, and those that the frame itself cuts, stay."""
    image = change(cut_eye({"bottom": 1.2}, writing=False)[0])
    assert find_field_of_view(image).cuts == ()


def test_cut_sides_inside_the_frame_and_of_the_frame_are_named_together():
    """Below by a strip, on the right by the frame."""
    image, _ = cut_eye({"bottom": 0.85})
    field = find_field_of_view(image[:, :300])
    assert field.cut == ("right", "bottom")
    assert [cut.side for cut in field.cuts] == ["bottom"]


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_cut_stays_where_it_is_when_the_photograph_is_resized(side):
    """Pixels of a resized photograph are beyond it exactly where the original's were."""
    slopes = {
        "left": (-1.0, 0.02),
        "right": (1.0, 0.02),
        "top": (0.02, -1.0),
        "bottom": (0.02, 1.0),
    }
    cut = Cut(side, *slopes[side], 20.3 if side in ("right", "bottom") else -20.3)
    once = beyond_cuts((cut,), 0, 0, 1.0, 1.0, size=60)
    scaled = beyond_cuts((cut.scaled(2.0, 3.0),), 0, 0, 2.0, 3.0, size=60)
    np.testing.assert_array_equal(scaled, once)
    assert 0.2 < once.mean() < 0.8


def test_a_circle_whose_middle_lies_outside_the_frame_has_no_cut():
    """A sliver of the circle is all the frame shows."""
    image, _ = cut_eye({"bottom": 1.2}, writing=False)
    assert find_field_of_view(image[:, 190:]).cuts == ()
