"""Frames that show more than one eye, or something beside it, are never taken silently."""

import cv2
import numpy as np
import pytest

from fundus_ml.imaging.field_of_view import (
    SURE,
    NoFieldOfView,
    find_field_of_view,
)
from tests.fundus_ml.imaging.found_fields import assert_near, never_sure
from tests.fundus_ml.tiny_eyes import draw_field

BEHIND = {"black": 3, "grey": 110, "white": 255}


def mosaic(across, down, *, gap=0, behind=3, levels=(1.0,), reach=(66, 66)):
    """Eyes of radius 60 in rows and columns, each in a panel of ``reach`` around its middle."""
    wide, high = (2 * half + gap for half in reach)
    image = np.full((down * high + gap, across * wide + gap, 3), behind, np.uint8)
    for number in range(across * down):
        x = gap + reach[0] + (number % across) * wide
        y = gap + reach[1] + (number // across) * high
        level = levels[number % len(levels)]
        colour = tuple(level * np.array([220, 140, 90]))
        place = {"x": reach[0], "y": reach[1], "radius": 60.0}
        eye = draw_field(2 * reach[1], 2 * reach[0], **place, colour=colour, surround=behind)
        image[y - reach[1] : y + reach[1], x - reach[0] : x + reach[0]] = eye
    return image


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(
    "layout",
    [
        {"across": 2, "down": 1, "gap": 12},
        {"across": 2, "down": 1, "gap": 12, "levels": (1.0, 0.4)},
        {"across": 1, "down": 2, "gap": 30},
        {"across": 2, "down": 2, "gap": 8, "levels": (0.8, 1.0, 0.6)},
        {"across": 3, "down": 1, "gap": 8},
    ],
    ids=["beside", "one dark", "above", "two by two", "three"],
)
def test_several_eyes_apart_in_one_frame_are_refused(layout, behind):
    """None of them is taken for the photograph's, on any page, and the reason says so."""
    with pytest.raises(NoFieldOfView, match=r"a lit area \d+% of the circle's size") as caught:
        find_field_of_view(mosaic(**layout, behind=BEHIND[behind]))
    assert caught.value.reason == "several eyes"


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("reach", [(60, 66), (60, 60), (50, 50)])
@pytest.mark.parametrize("levels", [(1.0,), (1.0, 0.4), (0.3, 1.0)])
@pytest.mark.parametrize(("across", "down"), [(2, 1), (2, 2)])
def test_touching_eyes_are_never_taken_silently(across, down, levels, reach, behind):
    """Round or cut where they touch, as bright as each other or not."""
    assert never_sure(mosaic(across, down, levels=levels, reach=reach, behind=BEHIND[behind]))


@pytest.mark.parametrize("small", [25, 35, 45])
@pytest.mark.parametrize("box", [True, False])
def test_an_inset_is_never_taken_silently(small, box):
    """A smaller eye in a corner, in a black box over the larger one or beside it."""
    image = draw_field(240, 330, x=140.0, y=120.0, radius=100.0, surround=3)
    eye = draw_field(2 * small, 2 * small, x=small - 0.5, y=small - 0.5, radius=small - 2)
    corner = image[-2 * small :, -2 * small :]
    corner[:] = eye if box else np.maximum(eye, corner)
    assert never_sure(image)


@pytest.mark.parametrize("behind", [3, 255])
def test_labels_captions_and_flares_beside_an_eye_are_no_second_one(behind):
    """The circle stays sure and where it was."""
    drawn = {"x": 120.0, "y": 120.0, "radius": 100.0}
    image = draw_field(240, 420, **drawn, surround=behind)
    image[90:220, 260:400] = 120 if behind > 200 else 235
    cv2.putText(image, "F 054Y", (270, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (10, 10, 10), 2)
    cv2.putText(image, "OD 45", (250, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (160, 160, 160), 2)
    rows, columns = np.indices(image.shape[:2])
    flare = 200 * np.exp(-((columns - 230) ** 2 + (rows - 20) ** 2) / 30)
    image = (image + flare[..., None]).clip(0, 255).astype(np.uint8)
    found = find_field_of_view(image)
    assert_near(found, drawn, longest=420)
    assert found.confidence >= SURE
