"""Whether a map lies where the evidence is known to be, and whether it lies on the sham as well."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.explained import Explained
from fundus_ml.faithfulness.scores import ENRICHMENT
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.energy_shares import OUTSIDE, PartAreas
from fundus_ml.imaging.regions.shams import SHAM

"""Before the name of a part where the row is about its sham."""


class Localised:
    """Scores of maps against the parts of N eyes, and against the parts' shams.

    A part that an eye does not show has NaN, and so has a map without a value above 0 in the
    direction of the decision.

    Attributes:
        names: Parts, then the shams as ``sham disc`` and so on.

    Args:
        explained: N images and their maps.
        regions: ``(N, H, W)`` uint8 region maps, or their areas where they are measured already.

    Raises:
        InputError: ``regions`` is not ``(N, H, W)`` of uint8 for these images.
    """

    def __init__(self, explained: Explained, regions: NDArray[np.uint8] | PartAreas) -> None:
        areas = regions if isinstance(regions, PartAreas) else PartAreas(regions, with_ring=True)
        wanted, found = tuple(explained.directed.shape), areas.masks[OUTSIDE].shape
        if found != wanted:
            raise InputError(f"regions: shape must be {wanted}, not {found}")
        self._explained, self._areas = explained, areas
        shams = {SHAM + name: mask for name, mask in self._areas.shams.items()}
        masks = {**self._areas.masks, **shams}
        self.names = tuple(masks)
        stacked = np.stack(list(masks.values()), axis=1)
        self._stacked = stacked
        device = explained.directed.device
        self._masks = torch.from_numpy(stacked).to(device).flatten(2)
        self._sizes = self._masks.sum(dim=2)
        self._says = explained.directed.flatten(1).amax(dim=1) > 0

    def pointing_game(self, *, tolerance: float) -> Tensor:
        """Say whether the largest value lies inside each part.

        Args:
            tolerance: Distance from the part at which it still counts, pixels.

        Returns:
            ``(N, parts)``: 1 or 0, of several largest values the share that lies inside.

        Source:
            Zhang et al. 2016, arXiv:1608.00507, who allow 15 pixels. Theirs takes the first of
            several largest values.
        """
        flat = self._explained.directed.flatten(1)
        top = (flat == flat.amax(dim=1, keepdim=True)).double()
        masks = self._masks if tolerance == 0 else self._widened(tolerance)
        inside = _within(top, masks)
        return self._known(inside / top.sum(dim=1, keepdim=True))

    @cached_property
    def relevance_mass(self) -> Tensor:
        """Share of the values above 0 that lies inside each part, ``(N, parts)``.

        Source:
            Arras et al. 2022, arXiv:2003.07258.
        """
        mass = self._explained.directed.flatten(1).clamp(min=0).double()
        inside = _within(mass, self._masks)
        return self._known(inside / mass.sum(dim=1, keepdim=True))

    @cached_property
    def relevance_rank(self) -> Tensor:
        """Share of a part's size that its pixels hold among as many largest values, ``(N, parts)``.

        Source:
            Arras et al. 2022, arXiv:2003.07258. Equal values are ordered at random, the same for
            every map.
        """
        among = self._explained.places[:, None] < self._sizes[..., None]
        inside = (among & self._masks).sum(dim=2).double()
        return self._known(inside / self._sizes)

    def enrichment(self, *, energy: str) -> Tensor:
        """Share of the retina's energy in each part over its share of the retina's area.

        Args:
            energy: ``square`` or ``magnitude`` of the map, whatever its sign.

        Returns:
            ``(N, parts)``, as :meth:`fundus_ml.imaging.regions.energy_shares.PartAreas.shares` has
            it for a change.
        """
        maps = self._explained.attributions.abs().double()
        found = self._areas.shares((maps.square() if energy == "square" else maps).cpu().numpy())
        sham = found["sham_energy_share"] / found["sham_area_share"]
        by_part = {
            **{part: rows[ENRICHMENT] for part, rows in found.groupby("part")},
            **{SHAM + part: rows for part, rows in sham.groupby(found["part"])},
        }
        return torch.from_numpy(
            np.stack([by_part[name].to_numpy(np.float64) for name in self.names], axis=1)
        )

    def _known(self, found: Tensor) -> Tensor:
        """Put NaN where a part is not shown or a map says nothing for the decision."""
        known = (self._sizes > 0) & self._says[:, None]
        return torch.where(known, found, torch.nan)

    def _widened(self, tolerance: float) -> Tensor:
        """Add to each part the pixels within a distance of it."""
        wide = np.zeros_like(self._stacked)
        for place in np.ndindex(self._stacked.shape[:2]):
            if self._stacked[place].any():
                away = cv2.distanceTransform(
                    (~self._stacked[place]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
                )
                wide[place] = away <= tolerance
        return torch.from_numpy(wide).to(self._masks.device).flatten(2)


def _within(values: Tensor, masks: Tensor) -> Tensor:
    """Add up ``(N, P)`` values inside ``(N, M, P)`` masks, ``(N, M)``."""
    return torch.stack([(values * mask).sum(dim=1) for mask in masks.unbind(1)], dim=1)
