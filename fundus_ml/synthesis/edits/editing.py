"""Edit one eye: check that it can be edited, make one edit or several, measure what they change."""

import math
from collections.abc import Mapping

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Mask
from fundus_ml.synthesis.edits.catalogue import Edit, edit_of
from fundus_ml.synthesis.edits.parts import (
    EditedParts,
    Pixels,
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

_ORDER = (
    "rim_pallor", "ring_colour", "foveal_darkness", "hue", "border_notch", "vessel_calibre",
    "disc_magnification",
)  # fmt: skip
"""Order in which several edits of one eye are made: what moves the parts comes last."""


def edit(name: str, pixels: Pixels, parts: EditedParts, *, strength: float) -> Pixels:
    """Render an eye as the second class (``strength`` above 0) or the first (below) by one edit.

    Args:
        name: One of :data:`.catalogue.EDITS`.
        pixels: ``(H, W, 3)`` uint8 RGB; not changed.
        parts: Parts of that eye.
        strength: From -:data:`STRONGEST` to :data:`STRONGEST`; 0 gives the same bytes.

    Returns:
        ``(H, W, 3)`` uint8 RGB, the same bytes outside :func:`support`.

    Raises:
        InputError: The name or strength is not allowed, the eye abstains (:func:`cannot_edit`), or
            ``pixels`` and ``parts`` do not fit.
    """
    chosen = _possible(name, pixels, parts)
    check_strength(strength)
    if strength == 0:
        return pixels.copy()
    return chosen.apply(pixels, parts, strength)


def render(pixels: Pixels, parts: EditedParts, strengths: Mapping[str, float]) -> Pixels:
    """Make several edits of one eye; colours first, then what moves its parts.

    Arguments, result and errors are those of :func:`edit`, a strength for each name.
    """
    for name in strengths:
        edit_of(name)
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
    return _possible(name, pixels, parts).measure(pixels, parts)


def oracle_quantity(name: str, pixels: Pixels, parts: EditedParts, *, strength: float) -> float:
    """Read an edited eye as an oracle does that knows the edit and the parts.

    Of a warp: the length of the part that was found and what the edit adds to it. Measured on
    pixels (:func:`quantity`), a third of a warp is lost in the blur of the part's border, and eyes
    differ more than their parts do, so that a network would read more than such an oracle. Of a
    colour: :func:`quantity` of the edited eye.

    Arguments and errors are those of :func:`edit`.
    """
    chosen = _possible(name, pixels, parts)
    check_strength(strength)
    if chosen.size is None:
        return quantity(name, edit(name, pixels, parts, strength=strength), parts)
    return chosen.size(parts) + strength * chosen.per_strength


def cannot_edit(name: str, parts: EditedParts) -> str | None:
    """Say why an edit of this eye abstains, in a few words that can be counted; None if it can.

    Raises:
        InputError: The name is unknown.
    """
    for part in edit_of(name).needs:
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


def support(name: str, parts: EditedParts) -> Mask:
    """Mark the ``(H, W)`` pixels that an edit may change.

    Raises:
        InputError: The name is unknown or the eye abstains.
    """
    chosen = edit_of(name)
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


def _possible(name: str, pixels: Pixels, parts: EditedParts) -> Edit:
    """Look an edit up that is possible on this eye."""
    chosen = edit_of(name)
    check_eye(pixels, parts)
    if why := cannot_edit(name, parts):
        raise InputError(f"edit={name}: not possible on this eye: {why}")
    return chosen


def _share_seen(mask: Mask, parts: EditedParts) -> float:
    """Share of a mask on the retina; of one that lies outside the square, 0."""
    return float((mask & parts.retina).sum() / max(float(mask.sum()), 1.0))


def _fovea_seen(parts: EditedParts) -> bool:
    assert parts.fovea is not None
    row, column = round(parts.fovea.y), round(parts.fovea.x)
    inside = 0 <= row < parts.shape[0] and 0 <= column < parts.shape[1]
    return inside and bool(soft_retina(parts)[row, column] >= IN_SIGHT)
