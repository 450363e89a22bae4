"""Changes of many eyes laid over one another: mirrored, registered by disc and fovea, smoothed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError, listed
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.columns import REGION_COLUMNS, regions_of_row
from fundus_ml.imaging.registration import Alignment

Pixels: TypeAlias = NDArray[np.uint8]
Planes: TypeAlias = NDArray[np.float32]

SIZE = 64
"""Side of the aligned square, pixels."""
SMOOTHING = 0.2
"""Standard deviation of the Gaussian that smooths each map, in mean disc diameters."""
SEEN = 0.5
"""Share of the smoothing's weight that must lie on the retina for a pixel to be shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RegisteredEyes:
    """How some eyes come to lie on one another; M of N could be aligned.

    Attributes:
        kept: ``(M,)`` positions of the aligned eyes.
        alignments: Alignment of each.
        photographed: ``(M, H, W)`` retina of each, where its change counts.
        retinas: ``(M, S, S)`` share of each aligned pixel that is retina.
        disc_diameter: Mean disc diameter in the aligned square, pixels.
        smoothing: Standard deviation of the Gaussian, pixels of the aligned square.
        abstained: Number of eyes that could not be aligned, by reason.
    """

    kept: NDArray[np.intp]
    alignments: tuple[Alignment, ...]
    photographed: NDArray[np.bool_]
    retinas: Planes
    disc_diameter: float
    smoothing: float
    abstained: Mapping[str, int]

    @property
    def size(self) -> int:
        """Side of the aligned square, pixels."""
        return int(self.retinas.shape[1])

    def changes(self, original: Pixels, modulated: Pixels) -> Planes:
        """Register the signed change of each eye.

        Args:
            original: ``(N, H, W, 3)`` uint8 RGB, all eyes.
            modulated: ``(N, H, W, 3)`` uint8 RGB, the same eyes modulated.

        Returns:
            ``(M, S, S, 3)`` modulated less original, pixels in [0, 1], smoothed on the retina
            alone; NaN where the photograph does not reach.

        Raises:
            InputError: Shapes differ, or as :meth:`Alignment.apply`.
        """
        _check_alike(original, modulated)
        maps = np.empty((len(self.kept), self.size, self.size, 3), np.float32)
        for place, (at, alignment) in enumerate(zip(self.kept, self.alignments, strict=True)):
            change = (modulated[at].astype(np.float32) - original[at]) / np.float32(255)
            change[~self.photographed[place]] = 0
            maps[place] = self._smooth(alignment.apply(change), self.retinas[place])
        return maps

    def densities(self, original: Pixels, modulated: Pixels) -> Planes:
        """Register how densely each eye's change lies, whatever its sign.

        Args:
            original: ``(N, H, W, 3)`` uint8 RGB, all eyes.
            modulated: ``(N, H, W, 3)`` uint8 RGB, the same eyes modulated.

        Returns:
            ``(M, S, S)`` energy of the change (squared, summed over RGB) over its mean on that
            eye's retina, smoothed on the retina alone: 1 where it is spread evenly, 0 for an eye
            that did not change; NaN where the photograph does not reach.

        Raises:
            InputError: Shapes differ, or as :meth:`Alignment.apply`.
        """
        _check_alike(original, modulated)
        maps = np.empty((len(self.kept), self.size, self.size), np.float32)
        for place, (at, alignment) in enumerate(zip(self.kept, self.alignments, strict=True)):
            change = modulated[at].astype(np.float32) - original[at]
            energy = (change**2).sum(axis=-1) * self.photographed[place]
            mean = energy[self.photographed[place]].mean() or 1.0
            aligned = alignment.apply(np.asarray(energy / mean, np.float32))
            maps[place] = self._smooth(aligned[..., None], self.retinas[place])[..., 0]
        return maps

    def _smooth(self, change: Planes, retina: Planes) -> Planes:
        smooth, weight = (self._blurred(each) for each in (change, retina))
        shown = (weight >= SEEN)[..., None]
        nowhere = np.full_like(change, np.nan)
        return np.asarray(np.divide(smooth, weight[..., None], where=shown, out=nowhere))

    def _blurred(self, plane: Planes) -> Planes:
        if self.smoothing == 0:
            return plane
        blurred = cv2.GaussianBlur(plane, (0, 0), self.smoothing, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred, np.float32).reshape(plane.shape)


def register_eyes(
    rows: pd.DataFrame,
    region_maps: NDArray[np.uint8],
    *,
    size: int = SIZE,
    smoothing: float = SMOOTHING,
) -> RegisteredEyes:
    """Find how each eye is mirrored, rotated and scaled onto one aligned right eye.

    Args:
        rows: N rows of a manifest, with
            :data:`~fundus_ml.imaging.regions.columns.REGION_COLUMNS`.
        region_maps: ``(N, H, W)`` uint8 maps of ``REGION_FLAGS``.
        size: Side of the aligned square, pixels.
        smoothing: Standard deviation of the Gaussian, in mean disc diameters; 0 does not smooth.

    Raises:
        InputError: The rows say nothing of regions, lengths differ, ``smoothing`` or ``size`` is
            not allowed, or no eye shows both disc and fovea.
    """
    if missing := sorted(set(REGION_COLUMNS) - set(rows.columns)):
        raise InputError(f"rows: lack {listed(missing)}; allowed: eyes preprocessed with regions")
    if len(rows) != len(region_maps):
        raise InputError(f"region_maps: {len(region_maps)} given for {len(rows)} eyes")
    if not smoothing >= 0:
        raise InputError(f"smoothing={smoothing}: must be 0 or more disc diameters")
    if size < 1:
        raise InputError(f"size={size}: must be at least 1")
    kept, alignments, photographed, discs = [], [], [], []
    abstained: Counter[str] = Counter()
    for place, (row, drawn) in enumerate(zip(rows.to_dict("records"), region_maps, strict=True)):
        regions = regions_of_row({str(name): value for name, value in row.items()}, drawn)
        try:
            alignment = Alignment.of(regions, size)
        except InputError as error:
            abstained[str(error).removeprefix("regions: ")] += 1
            continue
        assert regions.disc is not None
        kept.append(place)
        alignments.append(alignment)
        photographed.append(regions.retina)
        discs.append(regions.disc.diameter * alignment.scale)
    if not kept:
        raise InputError(f"rows: none of {len(rows)} eyes shows both disc and fovea: no atlas")
    diameter = float(np.mean(discs))
    return RegisteredEyes(
        kept=np.array(kept, np.intp),
        alignments=tuple(alignments),
        photographed=np.stack(photographed),
        retinas=np.stack(
            [
                alignment.apply(retina.astype(np.float32))
                for alignment, retina in zip(alignments, photographed, strict=True)
            ]
        ),
        disc_diameter=diameter,
        smoothing=smoothing * diameter,
        abstained=dict(abstained),
    )


def _check_alike(original: Pixels, modulated: Pixels) -> None:
    if original.shape != modulated.shape or original.dtype != np.uint8:
        raise InputError(
            f"modulated: {modulated.dtype} {modulated.shape}, must be uint8 {original.shape}"
        )
