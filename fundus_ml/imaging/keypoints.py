"""What tells one retina from another: where its vessels bend, branch and cross, described."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2

VIEW_SIZE = 256
"""Side in pixels of the views that are described."""
KEYPOINTS = 128
"""Keypoints kept of an eye at most, strongest corners first."""
DESCRIPTOR = 128
"""Bytes of a SIFT descriptor; column and row of the keypoint follow, in pixels of the view."""
FEATURE_SHAPE = (KEYPOINTS, DESCRIPTOR + 2)

_SIDE = VIEW_SIZE // 2
_BACKGROUND = 5.0
"""Standard deviation of the blur that leaves the ground without vessels, pixels of ``_SIDE``."""
_NEIGHBOURHOOD = 12.0
"""Likewise of the one that says how strong structures are around a pixel."""
_FAINT = 5.0
"""Grey levels below which structures count as noise of camera and JPEG."""
_UNLIT = 12
_USED_RADIUS = 0.93
_MARGIN = 9
"""Width in pixels of the strip along straight cuts, notches and writing that is not described."""
_APART = 2.5
_WEAKEST_OF_STRONGEST = 0.005
_WEAKEST_CORNER = 8e-5
"""Smaller eigenvalue of a corner in OpenCV's unit; what noise makes of a blurred eye is weaker."""
_KEYPOINT_SIZE = 6.0
"""Diameter handed to SIFT: its window is then about half the field's radius wide."""
_OCTAVE = 1 << 8
"""OpenCV's code for layer 1 of octave 0: no pyramid is built to describe."""


class Keypoints(NamedTuple):
    """Keypoints of one or many eyes, ready to be compared.

    Attributes:
        descriptors: ``(..., KEYPOINTS, DESCRIPTOR)`` float32 of length 1, or 0 where there is none.
        places: ``(..., KEYPOINTS, 2)`` float64, right and down from the view's centre, in radii.
        present: ``(..., KEYPOINTS)`` bool.
    """

    descriptors: NDArray[np.float32]
    places: NDArray[np.float64]
    present: NDArray[np.bool_]


def describe_eye(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find and describe the corners of what is darker than its surroundings: the vessels.

    Dust on the lens and reflections are bright and stay with the camera, so only dark structure
    counts, in units of its local strength; little more than a faint ring is left of them. Views
    are upright and of one scale already; descriptors do not turn with the keypoint, which keeps
    them more telling.

    Args:
        view: ``(256, 256, 3)`` uint8 RGB, the field of view its inscribed circle.

    Returns:
        ``FEATURE_SHAPE`` uint8: SIFT descriptor, then column and row in the view; rows of zeros
        where there are fewer keypoints.

    Raises:
        InputError: ``view`` is of another shape or type.

    Source:
        Corners: Shi & Tomasi 1994. Descriptor: Lowe 2004, upright and of one size.
    """
    if view.shape != (VIEW_SIZE, VIEW_SIZE, 3) or view.dtype != np.uint8:
        raise InputError(
            f"view: must be uint8 ({VIEW_SIZE}, {VIEW_SIZE}, 3), not {view.dtype} {view.shape}"
        )
    small = np.asarray(cv2.resize(view, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    lit = (small.max(axis=2) > _UNLIT) & (_radii() < 1)
    dark = _dark_structure(small[..., 1], lit)
    margin = np.ones((_MARGIN, _MARGIN), np.uint8)
    inner = np.asarray(cv2.erode(lit.astype(np.uint8), margin), np.uint8)
    inner[_radii() > _USED_RADIUS] = 0
    return _described(dark, _corners(dark, inner))


def read_features(features: NDArray[np.uint8]) -> Keypoints:
    """Take features of :func:`describe_eye`, ``(..., *FEATURE_SHAPE)`` uint8, apart.

    Source:
        The square root makes the dot product Hellinger's kernel: Arandjelovic & Zisserman 2012.
    """
    descriptors = features[..., :DESCRIPTOR].astype(np.float32)
    total = descriptors.sum(axis=-1, keepdims=True)
    np.sqrt(descriptors / np.maximum(total, 1), out=descriptors)
    places = (features[..., DESCRIPTOR:].astype(np.float64) + 0.5) * (2 / VIEW_SIZE) - 1
    return Keypoints(descriptors, places, total[..., 0] > 0)


def _corners(dark: NDArray[np.uint8], inner: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Column and row of the strongest corners, ``(n, 2)``, strongest first."""
    corners, strengths = cv2.goodFeaturesToTrackWithQuality(
        cv2.GaussianBlur(dark, (0, 0), 1.0),
        KEYPOINTS,
        _WEAKEST_OF_STRONGEST,
        _APART,
        inner,
        blockSize=5,
    )
    if corners is None:
        return np.empty((0, 2), np.float32)
    return np.asarray(corners[:, 0][strengths.ravel() >= _WEAKEST_CORNER], np.float32)


def _described(dark: NDArray[np.uint8], corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    features = np.zeros(FEATURE_SHAPE, np.uint8)
    if not len(corners):
        return features
    placed = [
        cv2.KeyPoint(float(x), float(y), _KEYPOINT_SIZE, 0.0, 1.0, _OCTAVE) for x, y in corners
    ]
    kept, descriptors = _sift().compute(dark, placed)
    features[: len(kept), :DESCRIPTOR] = descriptors
    features[: len(kept), DESCRIPTOR:] = np.rint(np.multiply([point.pt for point in kept], 2))
    return features


@cache
def _sift() -> cv2.SIFT:
    return cv2.SIFT.create()


@cache
def _radii() -> NDArray[np.float32]:
    rows, columns = np.indices((_SIDE, _SIDE), np.float32)
    middle = (_SIDE - 1) / 2
    return np.asarray(np.hypot(rows - middle, columns - middle) / (_SIDE / 2), np.float32)


def _dark_structure(green: NDArray[np.uint8], lit: NDArray[np.bool_]) -> NDArray[np.uint8]:
    weights = lit.astype(np.float32)
    light = green.astype(np.float32)
    # Reflections are cut off first: the blur around them would look like a dark ring.
    ground = np.minimum(light, _average(light, weights, _BACKGROUND))
    depth = np.minimum(light - _average(ground, weights, _BACKGROUND), 0) * weights
    strength = np.sqrt(_average(depth * depth, weights, _NEIGHBOURHOOD)) + np.float32(_FAINT)
    return np.asarray(np.clip(200 + 50 * depth / strength, 0, 255), np.uint8)


def _average(
    values: NDArray[np.float32], weights: NDArray[np.float32], sigma: float
) -> NDArray[np.float32]:
    """Blur, counting only pixels of weight 1."""
    total = cv2.GaussianBlur(values * weights, (0, 0), sigma)
    counted = cv2.GaussianBlur(weights, (0, 0), sigma)
    return np.asarray(total / np.maximum(counted, np.float32(1e-3)), np.float32)
