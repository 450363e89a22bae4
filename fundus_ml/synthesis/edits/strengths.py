"""How strong an edit must be for an oracle of the edited quantity to tell the classes this well."""

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
from fundus_ml.synthesis.edits.catalogue import EDITS
from fundus_ml.synthesis.edits.editing import STRONGEST, cannot_edit, oracle_quantity
from fundus_ml.synthesis.edits.parts import EditedParts, Pixels

Floats = NDArray[np.float64]

FEWEST = 20
"""People needed to say how a quantity spreads between them."""
CLOSE = 0.001
"""AUROC by which the strength found may miss the one asked for on the eyes given."""
FINEST = 0.0005
"""Strength to which the root is found where the AUROC leaps."""
BRACKETS = (0.2, 0.55, STRONGEST)
"""Strengths measured until one suffices; the root lies between two of them."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The strength of one edit for one oracle AUROC.

    Attributes:
        edit: Its name.
        asked_auroc: AUROC that the oracle shall reach.
        auroc: AUROC that it reaches on the eyes given, edited at ``strength``.
        strength: Strength of the edit.
        between_classes: Mean shift of what the oracle reads from the first class to the second,
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
    """Find the strength at which an oracle of the edited quantity tells the classes so well.

    Arguments and errors are those of :func:`strengths_for_all`.

    Returns:
        By name of the edit.
    """
    return strengths_for_all((auroc,), pixels, parts, people, edits=edits)[auroc]


def strengths_for_all(
    aurocs: Sequence[float],
    pixels: Sequence[Pixels] | NDArray[np.uint8],
    parts: Sequence[EditedParts],
    people: ArrayLike,
    *,
    edits: Sequence[str] = EDITS,
) -> dict[float, dict[str, Calibrated]]:
    """Find the strengths for several AUROCs from the same measurements.

    Each strength is rendered and measured once, and what one AUROC needed narrows the bracket of
    the next. Eyes are edited and measured by the processes of
    :func:`fundus_ml.parallel.processes`, if any.

    Args:
        aurocs: AUROCs of the oracle, each from .5 to below 1.
        pixels: ``(N, H, W, 3)`` uint8 RGB.
        parts: Parts of each eye.
        people: ``(N,)`` person of each eye.
        edits: Names of the edits. ``none`` gets strength 0 and AUROC .5.

    Returns:
        By AUROC and name of the edit. For a quantity that is normal between people, the classes
        then lie ``sqrt(2) * ndtri(auroc)`` standard deviations apart.

    Raises:
        InputError: An AUROC or edit is not allowed, fewer than :data:`FEWEST` people can be edited,
            or the strongest edit does not reach an AUROC.
    """
    for auroc in aurocs:
        if not 0.5 <= auroc < 1:  # noqa: PLR2004 (no better than a coin)
            raise InputError(f"auroc={auroc}: allowed: from 0.5 to below 1")
    group = np.unique(np.asarray(people), return_inverse=True)[1]
    if not len(pixels) == len(parts) == len(group):
        raise InputError(
            f"people: {len(group)} for {len(pixels)} eyes with {len(parts)} parts; one of each eye"
        )
    found: dict[float, dict[str, Calibrated]] = {auroc: {} for auroc in aurocs}
    for name in edits:
        doubts = [cannot_edit(name, each) for each in parts]
        kept = np.flatnonzero([doubt is None for doubt in doubts])
        measured = _MeasuredEyes(
            name,
            [(pixels[at], parts[at]) for at in kept.tolist()],
            group[kept],
            Counter(doubt for doubt in doubts if doubt),
        )
        for auroc in sorted(found):
            found[auroc][name] = measured.calibrated(auroc)
    return found


class _MeasuredEyes:
    """Eyes that one edit can be made on, and their quantity at the strengths tried so far."""

    def __init__(
        self,
        name: str,
        eyes: Sequence[tuple[Pixels, EditedParts]],
        group: NDArray[np.intp],
        abstained: Mapping[str, int],
    ) -> None:
        self.people = len(np.unique(group))
        if self.people < FEWEST:
            raise InputError(
                f"edit={name}: {self.people} people can be edited, {FEWEST} are needed; "
                f"abstained: {dict(abstained)}"
            )
        self.name, self.eyes, self.group, self.abstained = name, eyes, group, dict(abstained)
        self.quantities: dict[float, tuple[Floats, Floats]] = {}
        self.aurocs = {0.0: 0.5}

    def reached(self, strength: float) -> float:
        """AUROC of the quantity at a strength."""
        if strength not in self.aurocs:
            self.aurocs[strength] = oracle_auroc(*self.both(strength), self.group)
        return self.aurocs[strength]

    def both(self, strength: float) -> tuple[Floats, Floats]:
        """Quantity of each eye as the first class and as the second."""
        if strength not in self.quantities:
            rows = list(in_order(partial(_measured, self.name, strength), self.eyes))
            measured = np.array(rows, np.float64)
            self.quantities[strength] = (measured[:, 0], measured[:, 1])
        return self.quantities[strength]

    def calibrated(self, auroc: float) -> Calibrated:
        strength = self._strength(auroc) if self.name != "none" else 0.0
        first, second = self.both(strength)
        spread = float(np.std((first + second) / 2, ddof=1))
        return Calibrated(
            edit=self.name,
            asked_auroc=auroc,
            auroc=oracle_auroc(first, second, self.group),
            strength=strength,
            between_classes=float((second - first).mean()) / spread if spread > 0 else 0.0,
            eyes=len(self.eyes),
            people=self.people,
            abstained=self.abstained,
        )

    def _strength(self, auroc: float) -> float:
        """Find the root of the AUROC, in SDs, between strengths that were measured."""
        tried = max(self.aurocs)
        while self.reached(tried) < auroc:
            if tried == STRONGEST:
                raise InputError(
                    f"auroc={auroc}: {self.name} reaches {self.reached(tried):.3f} at its strongest"
                )
            tried = next(more for more in BRACKETS if more > tried)
        low = max(each for each, got in self.aurocs.items() if got <= auroc)
        high = min(each for each, got in self.aurocs.items() if got >= auroc and each >= low)

        def short_of(strength: float) -> float:
            got = self.reached(strength)
            if abs(got - auroc) <= CLOSE:
                return 0.0
            return float(ndtri(min(got, 1 - 1e-6)) - ndtri(auroc))

        return low if low == high else float(brentq(short_of, low, high, xtol=FINEST))


def _measured(name: str, strength: float, eye: tuple[Pixels, EditedParts]) -> tuple[float, float]:
    """The quantity of an eye as each class."""
    pixels, parts = eye
    low, high = (oracle_quantity(name, pixels, parts, strength=sign * strength) for sign in (-1, 1))
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
