"""How strong an edit must be for the edited quantity alone to tell the classes this well."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from fundus_ml.errors import InputError
from fundus_ml.parallel import in_order
from fundus_ml.synthesis.edits.catalogue import EDITS, STRONGEST, cannot_edit, edit, quantity
from fundus_ml.synthesis.edits.parts import EditedParts, Pixels

Floats = NDArray[np.float64]

FEWEST = 20
"""People needed to say how a quantity spreads between them."""
CLOSE = 0.002
"""Strength to which the root is found."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The strength of one edit for one oracle AUROC.

    Attributes:
        edit: Its name.
        asked_auroc: AUROC that the oracle shall reach.
        auroc: AUROC that it reaches on the eyes given, from pixels edited at ``strength``.
        strength: Of the edit.
        between_classes: Mean shift of the measured quantity from the first class to the second,
            in standard deviations between eyes.
        eyes: Eyes that were edited.
        people: People they belong to.
        abstained: Eyes that were not, by reason.
    """

    edit: str
    asked_auroc: float
    auroc: float
    strength: float
    between_classes: float
    eyes: int
    people: int
    abstained: Mapping[str, int]


def strengths_for(
    auroc: float,
    pixels: Sequence[Pixels] | NDArray[np.uint8],
    parts: Sequence[EditedParts],
    people: ArrayLike,
    *,
    edits: Sequence[str] = EDITS,
) -> dict[str, Calibrated]:
    """Find the strength at which the measured quantity alone tells the classes with this AUROC.

    Eyes are edited and measured by the processes of :func:`fundus_ml.parallel.processes`, if any.

    Args:
        auroc: Of the oracle, from .5 to below 1.
        pixels: ``(N, H, W, 3)`` uint8 RGB.
        parts: Of each eye.
        people: ``(N,)`` person of each eye.
        edits: Names of the edits. ``none`` gets strength 0 and AUROC .5.

    Returns:
        By name of the edit. For a quantity that is normal between people, the classes then lie
        ``sqrt(2) * ndtri(auroc)`` standard deviations apart.

    Raises:
        InputError: ``auroc`` or an edit is not allowed, fewer than :data:`FEWEST` people can be
            edited, or the strongest edit does not reach ``auroc``.
    """
    if not 0.5 <= auroc < 1:  # noqa: PLR2004 (no better than a coin)
        raise InputError(f"auroc={auroc}: allowed: from 0.5 to below 1")
    group = np.unique(np.asarray(people), return_inverse=True)[1]
    if not len(pixels) == len(parts) == len(group):
        raise InputError(
            f"people: {len(group)} for {len(pixels)} eyes with {len(parts)} parts; one of each eye"
        )
    found = {}
    for name in edits:
        doubts = [cannot_edit(name, each) for each in parts]
        kept = np.flatnonzero([doubt is None for doubt in doubts])
        eyes = [(pixels[at], parts[at]) for at in kept.tolist()]
        found[name] = _calibrated(
            auroc, name, eyes, group[kept], Counter(doubt for doubt in doubts if doubt)
        )
    return found


def _calibrated(
    auroc: float,
    name: str,
    eyes: Sequence[tuple[Pixels, EditedParts]],
    group: NDArray[np.intp],
    abstained: Mapping[str, int],
) -> Calibrated:
    people = len(np.unique(group))
    if people < FEWEST:
        raise InputError(
            f"edit={name}: {people} people can be edited, {FEWEST} are needed; "
            f"abstained: {dict(abstained)}"
        )
    rendered: dict[float, tuple[Floats, Floats]] = {}

    def both(strength: float) -> tuple[Floats, Floats]:
        if strength not in rendered:
            measured = np.array(
                list(in_order(partial(_measured, name, strength), eyes)), np.float64
            )
            rendered[strength] = (measured[:, 0], measured[:, 1])
        return rendered[strength]

    def short_of(strength: float) -> float:
        reached = oracle_auroc(*both(strength), group) if strength else 0.5
        return float(ndtri(min(reached, 1 - 1e-6)) - ndtri(auroc))

    strength = 0.0
    if name != "none" and auroc > 0.5:  # noqa: PLR2004
        if short_of(STRONGEST) < 0:
            most = oracle_auroc(*both(STRONGEST), group)
            raise InputError(f"auroc={auroc}: {name} reaches {most:.3f} at its strongest")
        strength = float(brentq(short_of, 0.0, STRONGEST, xtol=CLOSE))
    first, second = both(strength)
    spread = float(np.std((first + second) / 2, ddof=1))
    return Calibrated(
        edit=name,
        asked_auroc=auroc,
        auroc=oracle_auroc(first, second, group),
        strength=strength,
        between_classes=float((second - first).mean()) / spread if spread > 0 else 0.0,
        eyes=len(eyes),
        people=people,
        abstained=dict(abstained),
    )


def _measured(name: str, strength: float, eye: tuple[Pixels, EditedParts]) -> tuple[float, float]:
    """The quantity of an eye as each class."""
    pixels, parts = eye
    low, high = (
        quantity(name, edit(name, pixels, parts, strength=sign * strength), parts)
        for sign in (-1, 1)
    )
    return low, high


def oracle_auroc(first: Floats, second: Floats, people: ArrayLike) -> float:
    """AUROC of a quantity over all pairs of a first and a second class of different people.

    It is the expected AUROC over all ways to give people their class.

    Args:
        first: ``(N,)`` quantity of each eye as the first class.
        second: ``(N,)`` quantity of each eye as the second class.
        people: ``(N,)``.

    Raises:
        InputError: All eyes are of one person.
    """
    group = np.asarray(people)
    apart = group[:, None] != group[None]
    if not apart.any():
        raise InputError("people: one person alone; two or more are needed")
    gap = np.asarray(second)[:, None] - np.asarray(first)[None]
    return float(((gap > 0) + 0.5 * (gap == 0))[apart].mean())
