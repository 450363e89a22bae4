"""The eight edits by name: what each does, where, and to which measured quantity.

An edit of strength s renders an eye as the contrast's second class (s > 0) or first (s < 0): both
classes are edited, so that having been edited says nothing about the label.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Mask
from fundus_ml.synthesis.edits import colours, quantities, warps
from fundus_ml.synthesis.edits.parts import EditedParts, Pixels, Plane, soft_retina


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One edit: how it is made, measured and placed.

    Attributes:
        apply: Gives the edited pixels of an eye at a strength other than 0.
        measure: Gives the edited quantity of an eye.
        support: Gives the pixels that may change.
        needs: Parts that must be known.
        size: Gives the logarithm of the length that a warp scales, over the square's width.
        per_strength: What an edit of strength 1 adds to it.
        regions: Names of ``PARTS`` or ``ZONES`` in which the truth lies.
    """

    apply: Callable[[Pixels, EditedParts, float], Pixels]
    measure: Callable[[Pixels, EditedParts], float]
    support: Callable[[EditedParts], Mask]
    needs: tuple[str, ...]
    regions: tuple[str, ...]
    size: Callable[[EditedParts], float] | None = None
    per_strength: float = 0.0


def _colour_edit(
    name: str,
    weight: Callable[[EditedParts], Plane],
    measure: Callable[[Pixels, EditedParts], float],
    needs: tuple[str, ...],
    regions: tuple[str, ...],
) -> Edit:
    def apply(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:
        shift = [strength * each for each in colours.SHIFTS[name]]
        return colours.shifted(pixels, weight(parts), shift)

    def changed(parts: EditedParts) -> Mask:
        return np.asarray(weight(parts) > 0)

    return Edit(apply=apply, measure=measure, support=changed, needs=needs, regions=regions)


def _notched(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:
    weight = colours.notch_weight(parts, upper=strength > 0)
    return colours.darkened(pixels, weight, abs(strength) * colours.NOTCH_DARKNESS)


def _notches(parts: EditedParts) -> Mask:
    upper, lower = (colours.notch_weight(parts, upper=upper) for upper in (True, False))
    return np.asarray(np.maximum(upper, lower) > 0)


def _magnified(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:
    return warps.magnified(pixels, parts, strength * warps.LOG_MAGNIFICATION)


def _calibre_changed(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:
    return warps.calibre_changed(pixels, parts, strength * warps.LOG_CALIBRE)


def _disc_support(parts: EditedParts) -> Mask:
    return np.asarray(warps.magnification_weight(parts) > 0)


def _vessel_support(parts: EditedParts) -> Mask:
    return warps.vessel_frame(parts).support


def _unchanged(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:  # noqa: ARG001
    return pixels.copy()


def _nothing(pixels: Pixels, parts: EditedParts) -> float:  # noqa: ARG001
    return 0.0


def _nowhere(parts: EditedParts) -> Mask:
    return np.zeros(parts.shape, np.bool_)


RINGS = ("disc_ring_inner", "disc_ring_outer")
_EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        "disc_magnification": Edit(
            apply=_magnified,
            measure=quantities.log_disc_diameter,
            support=_disc_support,
            needs=("disc",),
            regions=("disc", *RINGS),
            size=quantities.log_disc_size,
            per_strength=warps.LOG_MAGNIFICATION,
        ),
        "rim_pallor": _colour_edit(
            "rim_pallor", colours.rim_weight, quantities.rim_pallor, ("disc", "cup"), ("disc",)
        ),
        "ring_colour": _colour_edit(
            "ring_colour", colours.ring_weight, quantities.ring_brightness, ("disc",), RINGS[:1]
        ),
        "vessel_calibre": Edit(
            apply=_calibre_changed,
            measure=quantities.log_calibre,
            support=_vessel_support,
            needs=("vessels",),
            regions=("vessels",),
            size=quantities.log_vessel_width,
            per_strength=warps.LOG_CALIBRE,
        ),
        "foveal_darkness": _colour_edit(
            "foveal_darkness",
            colours.foveal_weight,
            quantities.foveal_darkness,
            ("fovea",),
            ("macula",),
        ),
        "hue": _colour_edit(
            "hue",
            soft_retina,
            quantities.hue,
            (),
            ("disc", "macula", "vessels", "periphery", "background"),
        ),
        "border_notch": Edit(
            apply=_notched,
            measure=quantities.notch,
            support=_notches,
            needs=(),
            regions=("periphery",),
        ),
        "none": Edit(apply=_unchanged, measure=_nothing, support=_nowhere, needs=(), regions=()),
    }
)

EDITS = tuple(_EDITS)
"""Names of the edits; ``none`` returns the eye as it is."""


def edit_of(name: str) -> Edit:
    """Look an edit up.

    Raises:
        InputError: The name is unknown.
    """
    if name not in _EDITS:
        raise InputError(f"edit={name}: allowed: {', '.join(_EDITS)}")
    return _EDITS[name]


def region_of(name: str) -> tuple[str, ...]:
    """Name the regions where the truth of an edit lies.

    Returns:
        Names of :data:`~fundus_ml.imaging.regions.maps.PARTS` or
        :data:`~fundus_ml.imaging.regions.zones.ZONES`; none of ``none``.

    Raises:
        InputError: The name is unknown.
    """
    return edit_of(name).regions
