"""All biomarkers of one photograph, each a number or the reason why there is none."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.calibre import measure_arcades, measure_calibre
from fundus_ml.biomarkers.catalogue import BY_NAME, CATALOGUE
from fundus_ml.biomarkers.disc import measure_cup, measure_disc, measure_rim
from fundus_ml.biomarkers.macula import measure_fovea, measure_position
from fundus_ml.biomarkers.peripapillary import measure_ring
from fundus_ml.biomarkers.pigment import (
    measure_against_disc,
    measure_background,
    measure_macula,
)
from fundus_ml.biomarkers.vessels import measure_tree
from fundus_ml.biomarkers.view import Measured, View
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Regions

VERSION = 2
"""Rises where the same photograph gives other numbers."""

_MEASURED_BY: Mapping[Callable[[View], dict[str, Measured]], str] = {
    measure_disc: "disc_area",
    measure_cup: "cup_disc_ratio",
    measure_rim: "rim_pallor",
    measure_ring: "ring_red",
    measure_calibre: "crae",
    measure_tree: "vessel_density",
    measure_arcades: "artery_angle",
    measure_position: "disc_fovea_distance",
    measure_fovea: "foveal_darkness",
    measure_macula: "macula_green_red",
    measure_background: "hue",
    measure_against_disc: "background_darkness",
}
"""Each measure with one of its biomarkers: all of one measure need the same parts."""


@dataclass(frozen=True)
class Biomarkers:
    """The biomarkers of one photograph.

    Attributes:
        values: Every name of the catalogue, in its order; NaN where it abstains.
        reasons: Why, by name, for those that abstain.
    """

    values: Mapping[str, float]
    reasons: Mapping[str, str]


def measure_biomarkers(image: NDArray[np.uint8], regions: Regions) -> Biomarkers:
    """Measure every biomarker of one photograph.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        regions: What was found on it, in its pixels.

    Returns:
        One value per row of :data:`~fundus_ml.biomarkers.catalogue.CATALOGUE`. A biomarker whose
        part was not found, or lies outside the field of view, is NaN with its reason.

    Raises:
        InputError: ``image`` is no RGB photograph of the regions' shape.
    """
    if image.shape != (*regions.shape, 3) or image.dtype != np.uint8:
        raise InputError(
            f"image: must be uint8 {(*regions.shape, 3)} as its regions, "
            f"not {image.dtype} {image.shape}"
        )
    view, doubts = View(image, regions), dict(regions.doubts)
    measured: dict[str, Measured] = {}
    for measure, one in _MEASURED_BY.items():
        missing = [part for part in BY_NAME[one].needs if getattr(regions, part) is None]
        if not missing:
            measured |= measure(view)
    found: dict[str, Measured] = {
        each.name: measured[each.name]
        if each.name in measured
        else _without(each.needs, regions, doubts)
        for each in CATALOGUE
    }
    return Biomarkers(
        values={name: math.nan if isinstance(it, str) else it for name, it in found.items()},
        reasons={name: it for name, it in found.items() if isinstance(it, str)},
    )


def _without(needs: tuple[str, ...], regions: Regions, doubts: Mapping[str, str]) -> str:
    missing = [part for part in needs if getattr(regions, part) is None]
    return "; ".join(f"no {part}" + f": {doubts.get(part, '')}".rstrip(": ") for part in missing)
