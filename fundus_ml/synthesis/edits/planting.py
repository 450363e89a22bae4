"""Photographs with a planted cause: coin-flip labels by person, every eye rendered as its label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError, check_seed
from fundus_ml.parallel import in_order
from fundus_ml.synthesis.edits.editing import cannot_edit, check_strength, render
from fundus_ml.synthesis.edits.parts import EditedParts, Pixels

Signs = NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Confound:
    """A second edit that follows the label of a person, in part or somewhere alone.

    Attributes:
        edit: Its name.
        strength: Its strength.
        correlation: Correlation of its class with the label, from -1 to 1.
        where: ``(N,)`` eyes among whom it follows the label, such as those of training; a coin of
            its own elsewhere. None is everywhere.
    """

    edit: str
    strength: float
    correlation: float = 0.7
    where: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no strength and no correlation.

        Raises:
            InputError: It is not.
        """
        check_strength(self.strength)
        if not abs(self.correlation) <= 1:
            raise InputError(f"correlation={self.correlation}: allowed: -1 to 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """Eyes rendered as their labels, and what is needed to render them otherwise; N of M kept.

    Attributes:
        pixels: ``(N, H, W, 3)`` uint8 RGB, every planted edit made.
        labels: ``(N,)`` 0 or 1.
        kept: ``(N,)`` positions of these eyes among those given.
        signs: Classes of each planted edit, ``(N,)``: 1 rendered as the second class, -1 as the
            first, 0 left as it is, since that edit abstains there.
        strengths: Strength of each planted edit.
        originals: ``(N, H, W, 3)`` uint8 RGB, nothing edited.
        parts: Parts of each eye.
        abstained: Eyes left out, by reason.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    kept: NDArray[np.intp]
    signs: Mapping[str, Signs]
    strengths: Mapping[str, float]
    originals: NDArray[np.uint8]
    parts: Sequence[EditedParts]
    abstained: Mapping[str, int]

    def as_class(self, name: str, sign: int, *, strength: float | None = None) -> NDArray[np.uint8]:
        """Render every eye as one class of one edit, all other planted edits as they are.

        Args:
            name: An edit, planted or not.
            sign: 1 for the second class, -1 for the first; 0 leaves the edit out.
            strength: Strength of an edit that is not planted.

        Returns:
            ``(N, H, W, 3)`` uint8 RGB; eyes where the edit abstains are as in ``pixels``.

        Raises:
            InputError: ``sign`` is no sign, or an edit that is not planted has no strength.
        """
        if sign not in {-1, 0, 1}:
            raise InputError(f"sign={sign}: allowed: -1, 0, 1")
        if name in self.strengths:
            strength = self.strengths[name]
        elif strength is None:
            raise InputError(f"strength: {name} is not planted, so it needs one")
        return self._rendered(name, np.full(len(self.labels), sign, np.int8), strength=strength)

    def counterfactual(self, name: str) -> NDArray[np.uint8]:
        """Render every eye with one planted edit swapped to the other class.

        Returns:
            ``(N, H, W, 3)`` uint8 RGB.

        Raises:
            InputError: That edit is not planted.
        """
        if name not in self.signs:
            raise InputError(f"edit={name}: planted are {', '.join(self.signs)}")
        return self._rendered(name, -self.signs[name], strength=self.strengths[name])

    def _rendered(self, name: str, signs: Signs, *, strength: float) -> NDArray[np.uint8]:
        strengths = [
            {
                other: float(self.strengths[other] * given[at])
                for other, given in self.signs.items()
                if other != name and given[at]
            }
            | ({name: float(strength * signs[at])} if _possible(name, self.parts[at]) else {})
            for at in range(len(self.labels))
        ]
        return _render_all(self.originals, self.parts, strengths)


def planted_labels(person_groups: ArrayLike, seed: int) -> NDArray[np.int64]:
    """Toss a coin for each person: ``(N,)`` 0 or 1, the same for all eyes of a person.

    The label of a person depends on nothing but their place among the sorted names and the seed.

    Raises:
        InputError: The seed is not allowed.
    """
    check_seed(seed)
    return _coins(np.asarray(person_groups), np.random.default_rng([seed, 0]), 0.5).astype(np.int64)


def planted_photographs(
    pixels: NDArray[np.uint8],
    parts: Sequence[EditedParts],
    people: ArrayLike,
    *,
    edit: str,
    strength: float,
    seed: int,
    confounds: Sequence[Confound] = (),
) -> Planted:
    """Give every person a label by a coin and render their eyes as it.

    Args:
        pixels: ``(M, H, W, 3)`` uint8 RGB.
        parts: Parts of each eye.
        people: ``(M,)`` person of each eye.
        edit: The cause. Of ``none``, labels have no cause in the pixels.
        strength: Strength of the edit.
        seed: Seed of the coins.
        confounds: Further edits tied to the label.

    Returns:
        The eyes on which ``edit`` does not abstain.

    Raises:
        InputError: Two edits have one name, no eye can be edited, the lengths differ, or an edit,
            strength or seed is not allowed.
    """
    check_strength(strength)
    group = np.asarray(people)
    if not len(pixels) == len(parts) == len(group):
        raise InputError(
            f"people: {len(group)} for {len(pixels)} eyes with {len(parts)} parts; one of each eye"
        )
    names = [edit, *(confound.edit for confound in confounds)]
    if len(set(names)) < len(names):
        raise InputError(f"confounds: {', '.join(names)}: each edit may be planted once")
    doubts = [cannot_edit(edit, each) for each in parts]
    kept = np.flatnonzero([doubt is None for doubt in doubts])
    abstained = Counter(doubt for doubt in doubts if doubt)
    if not len(kept):
        raise InputError(f"edit={edit}: no eye can be edited: {dict(abstained)}")
    labels = planted_labels(group, seed)
    signs = {edit: (2 * labels - 1).astype(np.int8)[kept]}
    for place, confound in enumerate(confounds, 1):
        given = _confounded(confound, labels, group, np.random.default_rng([seed, place]))
        possible = [_possible(confound.edit, each) for each in parts]
        signs[confound.edit] = np.where(possible, given, 0).astype(np.int8)[kept]
    strengths = {edit: strength} | {each.edit: each.strength for each in confounds}
    own = [parts[at] for at in kept.tolist()]
    originals = pixels[kept]
    made = [
        {name: float(strengths[name] * given[at]) for name, given in signs.items() if given[at]}
        for at in range(len(kept))
    ]
    return Planted(
        pixels=_render_all(originals, own, made),
        labels=labels[kept],
        kept=kept,
        signs=signs,
        strengths=strengths,
        originals=originals,
        parts=own,
        abstained=dict(abstained),
    )


def _confounded(
    confound: Confound,
    labels: NDArray[np.int64],
    group: NDArray[np.generic],
    generator: np.random.Generator,
) -> Signs:
    """Class of a confound, ``(M,)`` -1 or 1: that of the label for a share (1 + rho) / 2."""
    same = _coins(group, generator, (1 + confound.correlation) / 2)
    follows = np.where(same, 2 * labels - 1, 1 - 2 * labels)
    own = 2 * _coins(group, generator, 0.5).astype(np.int64) - 1
    where = np.ones(len(labels), np.bool_) if confound.where is None else confound.where
    if where.shape != labels.shape:
        raise InputError(f"where: {len(where)} for {len(labels)} eyes; one of each eye")
    return np.where(where, follows, own).astype(np.int8)


def _coins(
    group: NDArray[np.generic], generator: np.random.Generator, share: float
) -> NDArray[np.bool_]:
    """One toss a person, ``(M,)``: True with probability ``share``."""
    names, place = np.unique(group, return_inverse=True)
    return np.asarray((generator.random(len(names)) < share)[place])


def _possible(name: str, parts: EditedParts) -> bool:
    return cannot_edit(name, parts) is None


def _render_all(
    pixels: NDArray[np.uint8],
    parts: Sequence[EditedParts],
    strengths: Sequence[Mapping[str, float]],
) -> NDArray[np.uint8]:
    eyes = list(zip(pixels, parts, strengths, strict=True))
    rendered = np.empty_like(pixels)
    for place, eye in enumerate(in_order(_rendered_eye, eyes)):
        rendered[place] = eye
    return rendered


def _rendered_eye(eye: tuple[Pixels, EditedParts, Mapping[str, float]]) -> Pixels:
    return render(*eye)
