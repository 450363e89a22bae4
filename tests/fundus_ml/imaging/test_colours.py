"""Painted eyes of every camera pass; grey, inverted, swapped and tinted copies of them do not."""

from functools import partial

import cv2
import numpy as np
import pytest

from fundus_ml.errors import Refused
from fundus_ml.imaging.colours import check_colours
from fundus_ml.imaging.cropping import CroppedEye, crop_eye
from fundus_ml.imaging.options import CropOptions
from fundus_ml.imaging.pictures import write_png
from fundus_ml.sources.files import load_file
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from tests.fundus_ml.painted_views import view_of


@pytest.fixture(scope="module")
def photographs():
    """A painted eye of each camera, by its name."""
    table = draw_population(Population(patients=len(CAMERAS), seed=3)).head(len(CAMERAS))
    rows = table.assign(camera=list(CAMERAS)).to_dict("records")
    return {row["camera"]: paint_photograph(row).image for row in rows}


@pytest.fixture(scope="module")
def views(photographs):
    """What is measured of each: ``(256, 256, 3)``, black outside the circle."""
    return [view_of(frame) for frame in photographs.values()]


def stored(picture, *, quality=75):
    """Through a JPEG, which keeps a quarter of the colours."""
    content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]


def brightness(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]


def grey(picture):
    return brightness(picture).repeat(3, axis=2)


def red_free(picture):
    return picture[..., 1:2].repeat(3, axis=2)


def inverted(picture):
    return np.where(picture.any(axis=2, keepdims=True), 255 - picture, 0).astype(np.uint8)


def swapped(picture):
    return picture[..., ::-1]


def turned_in_hue(picture, degrees):
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + degrees // 2) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def tinted(picture, tint):
    return (brightness(picture) * np.array(tint)).clip(0, 255).astype(np.uint8)


GREYS = {
    "grey": grey,
    "red-free": red_free,
    "red alone": lambda picture: picture[..., :1].repeat(3, axis=2),
    "grey negative": lambda picture: inverted(grey(picture)),
    "nearly grey": lambda picture: np.maximum(grey(picture), 3) + np.uint8([2, 0, 1]),
}
BLUER = {
    "inverted": inverted,
    "swapped": swapped,
    "half the circle of hues": lambda picture: turned_in_hue(picture, 180),
    "a third of it": lambda picture: turned_in_hue(picture, 120),
    "film on a light box": lambda picture: tinted(picture, (0.75, 0.85, 1.0)),
}
DOUBTFUL = {
    "green for red": lambda picture: picture[..., [1, 0, 2]],
    "blue for green": lambda picture: picture[..., [0, 2, 1]],
    "a sixth of the hues": lambda picture: turned_in_hue(picture, 60),
    "sepia": lambda picture: tinted(picture, (1.0, 0.74, 0.43)),
    "green filter": lambda picture: tinted(picture, (0.2, 1.0, 0.2)),
}
TINTS = {
    "as painted": (1.0, 1.0, 1.0),
    "pale": (0.9, 1.0, 1.1),
    "red": (1.2, 0.7, 0.4),
    "yellow": (0.95, 1.0, 0.4),
    "dim": (0.3, 0.3, 0.3),
}


@pytest.mark.parametrize("tint", TINTS)
def test_eyes_of_every_camera_and_white_balance_pass(views, tint):
    """No flag, whatever the tint, also through a JPEG."""
    for view in views:
        toned = (view * np.array(TINTS[tint])).clip(0, 255).astype(np.uint8)
        assert not check_colours(toned)
        assert not check_colours(stored(toned))


@pytest.mark.parametrize("how", GREYS)
def test_equal_channels_are_refused_as_grey(views, how):
    """Also when a JPEG has been between."""
    for view in views:
        for picture in (GREYS[how](view), stored(GREYS[how](view))):
            with pytest.raises(
                Refused, match=r"grey: the three channels are equal, as in red-free"
            ):
                check_colours(picture)


@pytest.mark.parametrize("how", BLUER)
def test_more_blue_than_red_is_refused(views, how):
    """No retina is; the line says what it may be."""
    told = r"colours swapped or inverted: blue outweighs red in \d+% of the eye: store it as red"
    for view in views:
        for picture in (BLUER[how](view), stored(BLUER[how](view))):
            with pytest.raises(Refused, match=told):
                check_colours(np.ascontiguousarray(picture))


@pytest.mark.parametrize("how", DOUBTFUL)
def test_colours_out_of_order_and_one_hue_are_doubtful(views, how):
    """Not refused: some cameras may come near."""
    for view in views:
        assert check_colours(np.ascontiguousarray(DOUBTFUL[how](view)))


def test_a_bed_of_flowers_is_doubtful():
    """Strong colours of every kind side by side are no retina's."""
    rng = np.random.default_rng(0)
    hues = rng.choice([[220, 20, 40], [230, 60, 90], [20, 120, 30], [30, 140, 40]], size=(16, 16))
    picture = cv2.resize(hues.astype(np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
    assert check_colours(picture)


def test_an_x_ray_of_a_hand_is_refused():
    """Bright bones on dark flesh, stored as colour."""
    hand = np.full((256, 256), 40, np.uint8)
    cv2.circle(hand, (128, 170), 45, 150, cv2.FILLED)
    for finger, length in zip((50, 90, 128, 165, 205), (60, 130, 140, 130, 100), strict=True):
        cv2.line(hand, (128, 170), (finger, 170 - length), 190, 14)
    hand = cv2.GaussianBlur(hand, (0, 0), 2.0)[..., None].repeat(3, axis=2)
    with pytest.raises(Refused, match="grey"):
        check_colours(stored(hand))


@pytest.mark.parametrize("level", [0, 10, 255])
def test_where_nothing_is_seen_nothing_is_said(level):
    """Black and burnt-out pictures have other reasons."""
    assert not check_colours(np.full((256, 256, 3), level, np.uint8))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (np.copy, ""),
        (grey, "grey"),
        (lambda frame: 255 - frame, "colours swapped or inverted"),
        (swapped, "colours swapped or inverted"),
        (DOUBTFUL["green for red"], "colours unlike a retina"),
    ],
)
def test_a_photograph_is_refused_or_flagged(photographs, tmp_path, change, expected):
    """From the file to the manifest: inverted frames have white surrounds as well."""
    frame = photographs["Halden VX"]
    write_png(np.ascontiguousarray(change(frame)), tmp_path / "eye.png")

    row = {"path": str(tmp_path / "eye.png"), "flags": ""}
    eye = crop_eye(partial(load_file, row), CropOptions(size=32))
    told = eye.measured["flags"] if isinstance(eye, CroppedEye) else eye.reason
    assert told == expected
