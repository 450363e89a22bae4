"""Dark ridges at several widths: what vessels look like to a detector that learned nothing."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Mask

Floats = NDArray[np.float32]

WIDTHS = (2.0, 3.0, 5.0)
"""Standard deviations at which ridges are looked for, pixels of a square of 640."""

REACH = 2
"""Pixels by which a ridge may lie beside a vessel's mask."""


def ridge_strength(brightness: Floats) -> Floats:
    """Curvature across dark ridges, the strongest over :data:`WIDTHS`.

    Args:
        brightness: ``(H, W)``, such as the green channel's local contrast.

    Returns:
        ``(H, W)`` largest eigenvalue of the scale-normalised Hessian, 0 where it is negative.

    Source:
        Sato et al. 1998, Medical Image Analysis 2:143; in two dimensions only this eigenvalue.
    """
    strongest = np.zeros_like(brightness)
    for width in WIDTHS:
        smooth = np.asarray(cv2.GaussianBlur(brightness, (0, 0), width), np.float32)
        across, down = _slope(smooth, 1, 0), _slope(smooth, 0, 1)
        mixed = _slope(across, 0, 1)
        across, down = _slope(across, 1, 0), _slope(down, 0, 1)
        half = (across + down) / 2
        largest = half + np.asarray(cv2.magnitude((across - down) / 2, mixed), np.float32)
        np.maximum(strongest, np.float32(width**2) * largest, out=strongest)
    return strongest


def ridge_agreement(brightness: Floats, seen: Mask, mask: Mask) -> float:
    """Share of a vessel mask that lies on the strongest ridges, as many pixels as it has.

    Args:
        brightness: ``(H, W)``, as :func:`ridge_strength` takes it.
        seen: ``(H, W)`` pixels inside the field of view.
        mask: ``(H, W)`` pixels taken for vessels.

    Returns:
        From 0 to 1; what chance gives is the mask's share of the field, and a little more for
        :data:`REACH`.
    """
    edge = cv2.erode(seen.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    strength = ridge_strength(brightness)
    marked = mask & edge
    if not marked.any():
        return 0.0
    weakest = np.quantile(strength[edge], 1 - marked.sum() / edge.sum())
    ridges = (edge & (strength > weakest)).astype(np.uint8)
    near = cv2.dilate(ridges, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)) > 0
    return float(near[marked].mean())


def _slope(values: Floats, across: int, down: int) -> Floats:
    """Central difference along the columns' or the rows' direction."""
    return np.asarray(cv2.Sobel(values, cv2.CV_32F, across, down, ksize=1, scale=0.5), np.float32)
