import numpy as np
import pytest
from skimage.filters import sato

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.ridges import WIDTHS, ridge_agreement, ridge_strength


@pytest.fixture
def tree():
    """Dark lines of several widths on noise, and their mask."""
    mask = np.zeros((200, 200), np.uint8)
    for number, width in enumerate((2, 3, 5, 7)):
        cv2.line(mask, (10, 20 + 45 * number), (190, 40 + 40 * number), 1, width)
    noise = np.random.default_rng(0).normal(0, 0.15, mask.shape)
    brightness = cv2.GaussianBlur((noise - mask).astype(np.float32), (0, 0), 1)
    return brightness, mask > 0


def test_strength_is_that_of_another_library(tree):
    brightness, _ = tree
    judge = sato(brightness.astype(np.float64), sigmas=WIDTHS, black_ridges=True)
    ours = ridge_strength(brightness)
    inner = (slice(20, -20), slice(20, -20))
    assert np.corrcoef(ours[inner].ravel(), judge[inner].ravel())[0, 1] > 0.98
    assert ours[inner].max() == pytest.approx(judge[inner].max(), rel=0.15)


def test_a_bright_line_is_none(tree):
    brightness, mask = tree
    assert ridge_strength(-brightness)[mask].mean() < 0.3 * ridge_strength(brightness)[mask].mean()


def test_a_mask_on_its_ridges_agrees_and_one_beside_them_does_not(tree):
    brightness, mask = tree
    seen = np.ones_like(mask)
    agreeing = ridge_agreement(brightness, seen, mask)
    beside = ridge_agreement(brightness, seen, np.ascontiguousarray(mask.T))
    assert agreeing > 0.9
    assert beside < agreeing / 2
    assert ridge_agreement(brightness, seen, np.zeros_like(mask)) == 0
