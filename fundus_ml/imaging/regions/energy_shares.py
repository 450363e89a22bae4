"""How the energy of a change or a map is spread over the parts of the retina, and their shams."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import part_masks
from fundus_ml.imaging.regions.shams import sham_regions
from fundus_ml.imaging.regions.zones import RING, inner_rings
from fundus_ml.statistics.ranking import divide

OUTSIDE = "outside"
"""The black surround: the one part that is measured against the square and not the retina."""

Floats = NDArray[np.float64]
Masks = Mapping[str, NDArray[np.bool_]]


class PartAreas:
    """Parts and shams of N eyes with their areas, against which energies are measured.

    Attributes:
        masks: ``(N, H, W)`` booleans per name of
            :data:`~fundus_ml.imaging.regions.maps.PARTS`.
        shams: ``(N, H, W)`` booleans per structure that has a sham.
        area: ``(N,)`` pixels per part.

    Args:
        regions: ``(N, H, W)`` uint8 region maps.
        shams: ``sham_regions`` of the maps, where they are placed already.
        with_ring: Whether the inner ring around the disc counts as a part too, with the ring around
            the disc's sham as its sham. It overlaps the other parts, whose shares stay as they are.

    Raises:
        InputError: ``regions`` is not ``(N, H, W)`` of uint8.
    """

    def __init__(
        self, regions: NDArray[np.uint8], shams: Masks | None = None, *, with_ring: bool = False
    ) -> None:
        if regions.ndim != 3 or regions.dtype != np.uint8:  # noqa: PLR2004 (N, H, W)
            raise InputError(
                f"regions: must be (N, H, W) of uint8, not {regions.shape} of {regions.dtype}"
            )
        self.masks = part_masks(regions)
        self.shams = dict(sham_regions(regions) if shams is None else shams)
        if with_ring:
            self.masks[RING], self.shams[RING] = inner_rings(regions, self.shams["disc"])
        self.area = {name: _area(mask) for name, mask in self.masks.items()}

    def shares(self, energy: NDArray[np.floating]) -> pd.DataFrame:
        """Account for the energy of every eye, part by part, and for that in each part's sham.

        A part's *enrichment* is its share of the energy on the retina divided by its share of the
        retina's area. The part ``outside`` is the share of the *whole* energy that lies off the
        retina, over the share of the square that is no retina.

        Args:
            energy: ``(N, H, W)``, 0 or more.

        Returns:
            N rows per part, in the order of the parts: ``position part energy_share area_share
            enrichment baseline sham_energy_share sham_area_share``, ``position`` being the eye's
            row, ``baseline`` what shares are shares of: ``retina``, or ``square`` for ``outside``.
            Shares are NaN where there is no energy on the retina (of ``outside``: nowhere), those
            of a sham also where the eye has none.

        Raises:
            InputError: ``energy`` is not ``(N, H, W)`` of the regions.
        """
        outside = self.masks[OUTSIDE]
        if energy.shape != outside.shape:
            raise InputError(f"energy: shape must be {outside.shape}, not {energy.shape}")
        square = np.full(len(energy), float(outside[0].size) if len(outside) else np.nan)
        retina = square - self.area[OUTSIDE]
        whole, on_retina = _within(energy, np.ones_like(outside)), _within(energy, ~outside)
        rows = []
        for part in self.masks:
            total, ground = (whole, square) if part == OUTSIDE else (on_retina, retina)
            share = divide(_within(energy, self.masks[part]), total)
            area_share = divide(self.area[part], ground)
            sham = self.shams.get(part, np.zeros_like(outside))
            sham_area = _area(sham)
            sham_share = divide(_within(energy, sham), total)
            rows.append(
                pd.DataFrame(
                    {
                        "position": np.arange(len(energy)),
                        "part": part,
                        "energy_share": share,
                        "area_share": area_share,
                        "enrichment": divide(share, area_share),
                        "baseline": "square" if part == OUTSIDE else "retina",
                        "sham_energy_share": np.where(sham_area > 0, sham_share, np.nan),
                        "sham_area_share": (
                            divide(sham_area, ground) if part in self.shams else np.nan
                        ),
                    }
                )
            )
        return pd.concat(rows, ignore_index=True)


def _area(mask: NDArray[np.bool_]) -> Floats:
    """Pixels of a mask, ``(N,)``."""
    return np.asarray(mask.sum(axis=(1, 2)), np.float64)


def _within(energy: NDArray[np.floating], mask: NDArray[np.bool_]) -> Floats:
    """Energy inside a mask, ``(N,)``."""
    return np.asarray(np.where(mask, energy, 0).sum(axis=(1, 2), dtype=np.float64))
