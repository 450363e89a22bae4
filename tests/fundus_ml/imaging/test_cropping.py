from functools import partial

import cv2
import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.cropping import PAINTED, crop_eye
from fundus_ml.imaging.options import CropOptions
from fundus_ml.imaging.photographs import read_photograph

SIZE = 96


def photograph(*, brightness: int = 150, spot: bool = False, written: int = 0):
    """A retina in a frame that cuts it off below; the camera writes in the upper left corner."""
    image = np.zeros((380, 400, 3), np.uint8)
    cv2.circle(image, (200, 200), 190, (40, 80, brightness), -1)
    if spot:
        cv2.circle(image, (120, 200), 30, (180, 220, 250), -1)
    image[8:30, 8:60] = written
    return image


def crop(image, *, surround="keep", around="border"):
    _, content = cv2.imencode(".png", image)
    options = CropOptions(size=SIZE, around=around, surround=surround, same_person=False)
    return crop_eye(partial(read_photograph, content.tobytes()), options).pixels


@pytest.mark.parametrize("surround", ["keep", "black"])
def test_a_border_shows_nothing_of_the_retina(surround):
    plain, other = photograph(), photograph(brightness=200, spot=True)
    assert (crop(plain, around="whole") != crop(other, around="whole")).any()
    np.testing.assert_array_equal(crop(plain, surround=surround), crop(other, surround=surround))


def test_a_border_shows_what_the_camera_wrote_and_where_the_frame_cuts_the_field():
    written = crop(photograph(written=240))
    assert (written != crop(photograph())).any()
    assert (written[1:4, 1:10] == 240).all()
    np.testing.assert_array_equal(crop(photograph(written=240), surround="black")[:8, :8], 0)
    assert (written[SIZE // 2, SIZE // 2] == PAINTED).all()
    assert (written[-1, SIZE // 2] == 0).all()
    assert (written[1, SIZE // 2] == PAINTED).all()


def test_the_tab_of_an_aperture_is_no_border():
    """Lit, beside the circle and one with it; what stands apart stays."""
    tabbed = photograph(written=240)
    cv2.rectangle(tabbed, (330, 50), (352, 72), (40, 80, 150), -1)
    there = np.s_[11:13, 84:86]
    assert (crop(photograph())[there] == 0).all()
    assert (crop(tabbed, around="whole")[there] > 0).any()
    assert (crop(tabbed)[there] == PAINTED).all()
    assert (crop(tabbed)[1:4, 1:10] == 240).all()


@pytest.mark.parametrize("across", [60, 120])
def test_a_photograph_that_is_enlarged_shows_no_retina_beside_the_circle(across):
    """Its pixels are mixed over several of the square."""
    small, other = (
        cv2.resize(photograph(brightness=brightness), (across, across * 19 // 20))
        for brightness in (150, 230)
    )
    np.testing.assert_array_equal(crop(small), crop(other))


def test_a_border_is_not_filled_with_mirrored_retina():
    with pytest.raises(InputError, match="padding=mirror: mirrors retina; around=border needs"):
        CropOptions(around="border", padding="mirror")
