"""One eye in retina units, and how its traits become visible anatomy.

Retina units: the field of view is a circle of radius 1 around (0, 0), x runs to the right of the
photograph and y down. A field of 45 degrees is meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]

DISC_DIAMETER = 0.30
"""Typical disc over field radius: about 7 degrees with its margin, in a field of 45."""

TRAITS = ("disc_trait", "vessel_trait", "macula_trait")
"""One standard normal trait per structure; the planted cue shifts one of them by sex."""

TRAIT_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "disc_trait": ("cup_disc_ratio", "disc_radius", "rim_pallor"),
        "vessel_trait": ("vessel_calibre", "vessel_density"),
        "macula_trait": ("macula_darkness", "macula_extent"),
    }
)
"""The anatomy each trait sets, and nothing else does."""


@dataclass(frozen=True, kw_only=True)
class Eye:
    """What is needed to paint one eye; the field names are columns of the table.

    Attributes:
        eye: ``left`` or ``right``: a right eye's disc lies right of its fovea.
        camera: Name of the camera that takes it.
        age: Years.
        paint_seed: Seeds everything that has no column of its own.
        disc_x: Centre of the disc, retina units.
        disc_y: Centre of the disc, retina units.
        fovea_x: Fovea, retina units.
        fovea_y: Fovea, retina units.
        disc_radius: Horizontal radius of the disc, retina units.
        disc_aspect: Vertical over horizontal diameter of the disc.
        cup_disc_ratio: Vertical cup over vertical disc diameter.
        rim_pallor: 0 a deep pink rim, 1 as pale as the cup.
        vessel_calibre: Factor on the width of every vessel.
        vessel_density: Share of the possible branches that exist, 0 to 1.
        vessel_tortuosity: Swing of a vessel's direction, radians.
        macula_darkness: Share of green light the foveal pigment takes away at its centre.
        macula_extent: Radius of the pigmented macula over the typical disc diameter, below 1.
        pigmentation: 0 a blond fundus, 1 a dark one.
        tessellation: Contrast of the choroidal vessels, 0 to 1.
        sheen: Brightness of the nerve-fibre layer, 0 to 1.
        haze: Veil of light scattered by the lens, 0 to 1.
        exposure: Factor on the light that reaches the sensor.
        warmth: Shift of the white balance, blue to red, in log units.
    """

    eye: str
    camera: str
    age: float
    paint_seed: int
    disc_x: float
    disc_y: float
    fovea_x: float
    fovea_y: float
    disc_radius: float
    disc_aspect: float
    cup_disc_ratio: float
    rim_pallor: float
    vessel_calibre: float
    vessel_density: float
    vessel_tortuosity: float
    macula_darkness: float
    macula_extent: float
    pigmentation: float
    tessellation: float
    sheen: float
    haze: float
    exposure: float
    warmth: float

    @property
    def temporal(self) -> float:
        """Sign of x from the disc towards the fovea: -1 in a right eye, 1 in a left one."""
        return -1.0 if self.eye == "right" else 1.0

    def generator(self, part: int) -> np.random.Generator:
        """Random numbers for one numbered part of the painting, independent of all others."""
        return np.random.default_rng([self.paint_seed, part])

    @classmethod
    def from_row(cls, row: Mapping[str, object]) -> Self:
        """Read an eye from a row of :func:`~fundus_ml.synthesis.population.draw_population`.

        Raises:
            InputError: The row lacks a column of a synthetic eye.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in row]
        if missing:
            raise InputError(
                f"columns {', '.join(missing)} are missing from the row; "
                "a synthetic eye needs every column that draw_population gives"
            )
        texts = {name: str(row[name]) for name in ("eye", "camera")}
        numbers = {name: float(str(row[name])) for name in names if name not in texts}
        seed = int(str(row["paint_seed"]))
        return cls(**{**texts, **numbers, "paint_seed": seed})  # type: ignore[arg-type]


def distance(across: Plane, down: Plane) -> Plane:
    """Length of the vectors ``(across, down)``, which broadcast against each other."""
    return np.sqrt(across * across + down * down)


def anatomy_of_traits(traits: pd.DataFrame) -> pd.DataFrame:
    """Turn traits into the anatomy they set.

    A higher trait is a larger, paler cup in a slightly larger disc, wider and more vessels, or a
    darker and wider macula. One standard deviation is far more than between real sexes, so that a
    small network at 64 pixels can see the default cue.

    Args:
        traits: One row per eye with the columns of :data:`TRAITS`, in standard deviations.

    Returns:
        The columns of :data:`TRAIT_COLUMNS`, each monotone in its trait and kept inside what
        occurs in healthy eyes.

    Source:
        Men have a larger disc (Ramrattan et al. 1999, doi:10.1016/S0161-6420(99)90457-8) and cup
        (Kim et al. 2015, doi:10.3341/kjo.2015.29.5.336). The traits of vessels and macula, the
        pallor and all amounts are ours; men's arterioles are narrower in Sun et al. 2008,
        doi:10.1167/iovs.07-1450.
    """
    disc, vessel, macula = (traits[name].to_numpy(dtype=float) for name in TRAITS)
    return pd.DataFrame(
        {
            "cup_disc_ratio": (0.45 + 0.08 * disc).clip(0.14, 0.80),
            "disc_radius": DISC_DIAMETER / 2 * (1 + 0.025 * disc).clip(0.85, 1.15),
            "rim_pallor": (0.28 + 0.08 * disc).clip(0.02, 0.75),
            "vessel_calibre": np.exp(0.12 * vessel).clip(0.65, 1.60),
            "vessel_density": (0.62 + 0.07 * vessel).clip(0.25, 0.98),
            "macula_darkness": (0.34 + 0.06 * macula).clip(0.06, 0.66),
            "macula_extent": (0.68 + 0.05 * macula).clip(0.42, 0.95),
        },
        index=traits.index,
    )


def place_landmarks(
    *, temporal: Floats, fixation: Floats, distance: Floats, drop: Floats, gaze: Floats
) -> pd.DataFrame:
    """Place disc and fovea in the field of view.

    The distance does not depend on the eye's own disc, so a planted disc stays in its region.

    Args:
        temporal: ``(N,)`` sign of x from the disc towards the fovea.
        fixation: ``(N,)`` 0 centres the field on the fovea, 1 midway between fovea and disc.
        distance: ``(N,)`` disc to fovea, in typical disc diameters.
        drop: ``(N,)`` fovea below the disc's centre, in typical disc diameters.
        gaze: ``(N, 2)`` where the eye looked instead, retina units.

    Returns:
        Columns ``disc_x disc_y fovea_x fovea_y``, retina units.
    """
    across = temporal * distance * DISC_DIAMETER
    down = drop * DISC_DIAMETER
    fovea_x = fixation * across / 2 + gaze[:, 0]
    fovea_y = fixation * down / 2 + gaze[:, 1]
    return pd.DataFrame(
        {
            "disc_x": fovea_x - across,
            "disc_y": fovea_y - down,
            "fovea_x": fovea_x,
            "fovea_y": fovea_y,
        }
    )
