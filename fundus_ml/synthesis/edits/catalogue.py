"""The eight edits by name: what each does, where, to which measured quantity, and when it abstains.

An edit of strength s renders an eye as the contrast's second class (s > 0) or first (s < 0): both
classes are edited, so that having been edited says nothing about the label.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Mask
from fundus_ml.synthesis.edits import colours, quantities, warps
from fundus_ml.synthesis.edits.parts import (
    EditedParts,
    Pixels,
    Plane,
    check_eye,
    disc_distance,
    soft_retina,
)

STRONGEST = 1.5
"""Largest strength; beyond it a warp could fold."""
IN_SIGHT = 0.9
"""Share of the disc that must lie on the retina, and of the weight at the fovea."""
FEWEST_VESSEL_PIXELS = 0.01
"""Share of the retina that vessels must cover."""


@dataclass(frozen=True, kw_only=True)
class _Edit:
    """One edit.

    Attributes:
        apply: Gives the edited pixels of an eye at a strength other than 0.
        measure: Gives the edited quantity of an eye.
        support: Gives the pixels that may change.
        needs: Parts that must be known.
        regions: Names of ``PARTS`` or ``ZONES`` in which the truth lies.
    """

    apply: Callable[[Pixels, EditedParts, float], Pixels]
    measure: Callable[[Pixels, EditedParts], float]
    support: Callable[[EditedParts], Mask]
    needs: tuple[str, ...]
    regions: tuple[str, ...]


def _colour_edit(
    name: str,
    weight: Callable[[EditedParts], Plane],
    measure: Callable[[Pixels, EditedParts], float],
    needs: tuple[str, ...],
    regions: tuple[str, ...],
) -> _Edit:
    def apply(pixels: Pixels, parts: EditedParts, strength: float) -> Pixels:
        shift = [strength * each for each in colours.SHIFTS[name]]
        return colours.shifted(pixels, weight(parts), shift)

    def changed(parts: EditedParts) -> Mask:
        return np.asarray(weight(parts) > 0)

    return _Edit(apply=apply, measure=measure, support=changed, needs=needs, regions=regions)


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
_EDITS: Mapping[str, _Edit] = MappingProxyType(
    {
        "disc_magnification": _Edit(
            apply=_magnified,
            measure=quantities.log_disc_diameter,
            support=_disc_support,
            needs=("disc",),
            regions=("disc", *RINGS),
        ),
        "rim_pallor": _colour_edit(
            "rim_pallor", colours.rim_weight, quantities.rim_pallor, ("disc", "cup"), ("disc",)
        ),
        "ring_colour": _colour_edit(
            "ring_colour", colours.ring_weight, quantities.ring_brightness, ("disc",), RINGS[:1]
        ),
        "vessel_calibre": _Edit(
            apply=_calibre_changed,
            measure=quantities.log_calibre,
            support=_vessel_support,
            needs=("vessels",),
            regions=("vessels",),
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
        "border_notch": _Edit(
            apply=_notched,
            measure=quantities.notch,
            support=_notches,
            needs=(),
            regions=("periphery",),
        ),
        "none": _Edit(apply=_unchanged, measure=_nothing, support=_nowhere, needs=(), regions=()),
    }
)

EDITS = tuple(_EDITS)
"""Names of the edits; ``none`` returns the eye as it is."""

_ORDER = (
    "rim_pallor", "ring_colour", "foveal_darkness", "hue", "border_notch", "vessel_calibre",
    "disc_magnification",
)  # fmt: skip
"""Order in which several edits of one eye are made: what moves the parts comes last."""


def edit(name: str, pixels: Pixels, parts: EditedParts, *, strength: float) -> Pixels:
    """Render an eye as the second class (``strength`` above 0) or the first (below) by one edit.

    Args:
        name: One of :data:`EDITS`.
        pixels: ``(H, W, 3)`` uint8 RGB; not changed.
        parts: Of that eye.
        strength: From -:data:`STRONGEST` to :data:`STRONGEST`; 0 gives the same bytes.

    Returns:
        ``(H, W, 3)`` uint8 RGB, the same bytes outside :func:`support`.

    Raises:
        InputError: The name or strength is not allowed, the eye abstains (:func:`cannot_edit`), or
            ``pixels`` and ``parts`` do not fit.
    """
    chosen = _edit_of(name)
    check_eye(pixels, parts)
    check_strength(strength)
    if why := cannot_edit(name, parts):
        raise InputError(f"edit={name}: not possible on this eye: {why}")
    if strength == 0:
        return pixels.copy()
    return chosen.apply(pixels, parts, strength)


def render(pixels: Pixels, parts: EditedParts, strengths: Mapping[str, float]) -> Pixels:
    """Make several edits of one eye; colours first, then what moves its parts.

    Arguments, result and errors are those of :func:`edit`, a strength for each name.
    """
    for name in strengths:
        _edit_of(name)
    for name in _ORDER:
        if name in strengths:
            pixels = edit(name, pixels, parts, strength=strengths[name])
    return pixels if strengths.keys() & set(_ORDER) else pixels.copy()


def quantity(name: str, pixels: Pixels, parts: EditedParts) -> float:
    """Measure what an edit changes: larger is more of the second class.

    Returns:
        The logarithm of a length over the square's width (disc, vessels), or a difference of
        logits or logarithms of grey levels; 0 of ``none``.

    Raises:
        InputError: The name is unknown, the eye abstains, or ``pixels`` and ``parts`` do not fit.
    """
    chosen = _edit_of(name)
    check_eye(pixels, parts)
    if why := cannot_edit(name, parts):
        raise InputError(f"edit={name}: not possible on this eye: {why}")
    return chosen.measure(pixels, parts)


def cannot_edit(name: str, parts: EditedParts) -> str | None:
    """Say why an edit of this eye abstains, in a few words that can be counted; None if it can.

    Raises:
        InputError: The name is unknown.
    """
    for part in _edit_of(name).needs:
        known = getattr(parts, part)
        if known is None:
            return f"{part} not known"
        if part == "disc" and _share_seen(disc_distance(parts) <= 1, parts) < IN_SIGHT:
            return "disc not in sight"
        if part == "fovea" and not _fovea_seen(parts):
            return "fovea not in sight"
        if part == "vessels" and known.sum() < FEWEST_VESSEL_PIXELS * parts.retina.sum():
            return "hardly any vessel"
    return None


def region_of(name: str) -> tuple[str, ...]:
    """Name the regions where the truth of an edit lies.

    Returns:
        Names of :data:`~fundus_ml.imaging.regions.maps.PARTS` or
        :data:`~fundus_ml.imaging.regions.zones.ZONES`; none of ``none``.

    Raises:
        InputError: The name is unknown.
    """
    return _edit_of(name).regions


def support(name: str, parts: EditedParts) -> Mask:
    """Mark the ``(H, W)`` pixels that an edit may change.

    Raises:
        InputError: The name is unknown or the eye abstains.
    """
    chosen = _edit_of(name)
    if why := cannot_edit(name, parts):
        raise InputError(f"edit={name}: not possible on this eye: {why}")
    return chosen.support(parts)


def check_strength(strength: float) -> None:
    """Refuse a strength that is no number or beyond :data:`STRONGEST`.

    Raises:
        InputError: It is.
    """
    if not (math.isfinite(strength) and abs(strength) <= STRONGEST):
        raise InputError(f"strength={strength}: allowed: -{STRONGEST} to {STRONGEST}")


def _edit_of(name: str) -> _Edit:
    if name not in _EDITS:
        raise InputError(f"edit={name}: allowed: {', '.join(_EDITS)}")
    return _EDITS[name]


def _share_seen(mask: Mask, parts: EditedParts) -> float:
    """Share of a mask on the retina; of one that lies outside the square, 0."""
    return float((mask & parts.retina).sum() / max(float(mask.sum()), 1.0))


def _fovea_seen(parts: EditedParts) -> bool:
    assert parts.fovea is not None
    row, column = round(parts.fovea.y), round(parts.fovea.x)
    inside = 0 <= row < parts.shape[0] and 0 <= column < parts.shape[1]
    return inside and bool(soft_retina(parts)[row, column] >= IN_SIGHT)
