"""One eye laid over every other: mirrored to a right eye, its disc and fovea in fixed places."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Regions

FOVEA, DISC = (0.40, 0.5), (0.76, 0.5)
"""Where fovea and disc come to lie, right and down, in the side of the square: a right eye whose
field of 45 degrees about fills it."""

_NEAREST = 1.0
"""Pixels between disc and fovea, at least."""
_MISSING_BLUR = 0.5
"""Width of the blur before shrinking to half of it, pixels of the larger picture."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The way from a photograph to its aligned square, and back.

    Attributes:
        matrix: ``(2, 3)`` takes ``(x, y, 1)`` in pixels of the photograph to ``(x, y)`` in pixels
            of the square; whole numbers are pixel centres.
        shape: ``(H, W)`` of the photograph.
        size: Side of the square, pixels.
        mirrored: It was a left eye.
    """

    matrix: NDArray[np.float64]
    shape: tuple[int, int]
    size: int
    mirrored: bool

    @classmethod
    def of(cls, regions: Regions, size: int) -> Self:
        """Find the similarity that brings disc and fovea to their places.

        Args:
            regions: Parts of the photograph.
            size: Side of the square, pixels, 1 or more.

        Raises:
            InputError: Disc or fovea is not known, they lie at one point or above each other, so
                that the eye's side cannot be told, or ``size`` is below 1.
        """
        disc, fovea = regions.disc, regions.fovea
        if size < 1:
            raise InputError(f"size={size}: must be at least 1")
        if disc is None or fovea is None:
            missing = "disc" if disc is None else "fovea"
            raise InputError(f"regions: no {missing}, so the eye cannot be aligned")
        if abs(disc.x - fovea.x) < _NEAREST:
            raise InputError("regions: the disc lies above the fovea, so left and right are alike")
        mirrored = disc.x < fovea.x
        side = -1.0 if mirrored else 1.0
        # Complex numbers: a similarity multiplies and adds.
        here = complex(side * disc.x, disc.y), complex(side * fovea.x, fovea.y)
        there = tuple(complex(x * size - 0.5, y * size - 0.5) for x, y in (DISC, FOVEA))
        turn = (there[0] - there[1]) / (here[0] - here[1])
        shift = there[0] - turn * here[0]
        matrix = np.array(
            [
                [side * turn.real, -turn.imag, shift.real],
                [side * turn.imag, turn.real, shift.imag],
            ]
        )
        return cls(matrix=matrix, shape=regions.shape, size=size, mirrored=mirrored)

    @property
    def scale(self) -> float:
        """Pixels of the square per pixel of the photograph."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def to_square(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``(n, 2)`` points ``(x, y)`` of the photograph into the square."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def to_photograph(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``(n, 2)`` points ``(x, y)`` of the square back into the photograph."""
        moved = np.asarray(points, np.float64) - self.matrix[:, 2]
        return np.asarray(np.linalg.solve(self.matrix[:, :2], moved.T).T)

    def apply(self, image: NDArray[Any], *, nearest: bool = False) -> NDArray[Any]:
        """Lay a photograph, or a map of its pixels, into the square.

        Args:
            image: ``(H, W)`` or ``(H, W, channels)`` of a type that OpenCV resizes, or boolean.
            nearest: Take the nearest pixel, for maps whose values are names; booleans always do.

        Returns:
            ``(size, size)`` with the channels; 0 where the photograph does not reach.

        Raises:
            InputError: ``image`` has another shape than the photograph.
        """
        if image.shape[:2] != self.shape:
            raise InputError(f"image: shape {image.shape[:2]}, the regions are of {self.shape}")
        return self._warp(image, (self.size, self.size), inverse=False, nearest=nearest)

    def restore(self, square: NDArray[Any], *, nearest: bool = False) -> NDArray[Any]:
        """Lay a map of the square back over the photograph; as :meth:`apply`, the other way.

        Raises:
            InputError: ``square`` has another shape than the aligned square.
        """
        if square.shape[:2] != (self.size, self.size):
            raise InputError(f"square: shape {square.shape[:2]}, must be {(self.size, self.size)}")
        return self._warp(square, self.shape, inverse=True, nearest=nearest)

    def _warp(
        self, picture: NDArray[Any], shape: tuple[int, int], *, inverse: bool, nearest: bool
    ) -> NDArray[Any]:
        boolean = picture.dtype == np.bool_
        whole: NDArray[Any] = picture.astype(np.uint8) if boolean else picture
        nearest = nearest or boolean
        shrinks = 1 / self.scale if inverse else self.scale
        if shrinks < 1 and not nearest:
            whole = cv2.GaussianBlur(whole, (0, 0), _MISSING_BLUR * math.sqrt(1 / shrinks**2 - 1))
        flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        flags |= cv2.WARP_INVERSE_MAP if inverse else 0
        warped = cv2.warpAffine(whole, self.matrix, shape[::-1], flags=flags)
        return np.asarray(warped, picture.dtype)


def align_eye(image: NDArray[np.uint8], regions: Regions, size: int) -> NDArray[np.uint8]:
    """Mirror a left eye, and bring disc and fovea to their places.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        regions: What was found on it.
        size: Side of the square, pixels.

    Returns:
        ``(size, size, 3)`` uint8 RGB of a right eye, black where the photograph does not reach.
        Maps made on it go back by :meth:`Alignment.restore`.

    Raises:
        InputError: As :meth:`Alignment.of` and :meth:`Alignment.apply`.
    """
    return np.asarray(Alignment.of(regions, size).apply(image), np.uint8)
