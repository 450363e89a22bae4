"""Mean change towards each class in every aligned pixel, tested over people and null versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.atlas.registered import Pixels, Planes, RegisteredEyes
from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import CONFIDENCE
from fundus_ml.statistics.mean_maps import MapTest, difference_map, sign_flip_map

Plane = NDArray[np.float64]

FEWEST_PEOPLE = 6
"""People from whom on sign flips can reach p < 0.05: 2/2**6."""
DIFFERENCE = "difference"
"""Name of the map of class 1 less class 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeMap:
    """One mean map of the atlas, ``(S, S)`` unless said otherwise.

    Attributes:
        name: ``towards CLASS``, or :data:`DIFFERENCE`.
        eyes: Eyes that it is the mean of.
        people: People they belong to.
        mean: Mean over RGB and people of the signed change, pixels in [0, 1]; NaN where not shown.
        channels: ``(S, S, 3)`` the same of red, green and blue.
        statistic: ``mean`` over its standard error between people; NaN where not tested.
        p: Two-sided, corrected for all pixels; NaN where not tested.
        null_largest: Largest length of ``statistic`` over all pixels, by null version.
        null_p: Rank of ``statistic`` among those: ``(1 + k)/(K + 1)`` with k of K null versions
            that reach its length anywhere; 1 where there are none.
    """

    name: str
    eyes: int
    people: int
    mean: Plane
    channels: Plane
    statistic: Plane
    p: Plane
    null_largest: Mapping[str, float]
    null_p: Plane

    @property
    def significant(self) -> NDArray[np.bool_]:
        """``(S, S)`` where the change is systematic over people: corrected p below 0.05."""
        return self.p < 1 - CONFIDENCE

    @property
    def beyond_null(self) -> NDArray[np.bool_]:
        """``(S, S)`` significant, and longer than any null version is at any pixel.

        All False where no null version was given.
        """
        if not self.null_largest:
            return np.zeros_like(self.significant)
        longest = max(self.null_largest.values())
        return self.significant & (np.abs(self.statistic) > longest)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeAtlas:
    """Mean maps of one modulation on one aligned eye.

    Attributes:
        maps: By name: ``towards CLASS`` of each class that eyes were pushed to, and their
            :data:`DIFFERENCE` where there are both.
        left_out: Why a map is not there, by its name.
        registered: How the eyes were laid over one another.
    """

    maps: Mapping[str, ChangeMap]
    left_out: Mapping[str, str]
    registered: RegisteredEyes


def change_atlas(
    registered: RegisteredEyes,
    original: Pixels,
    modulated: Pixels,
    target: ArrayLike,
    groups: ArrayLike,
    *,
    classes: tuple[str, str],
    null_versions: Mapping[str, Pixels] = MappingProxyType({}),
    permutations: int = 999,
    seed: int = 0,
) -> ChangeAtlas:
    """Average the registered changes towards each class, and test every pixel at once.

    Args:
        registered: How the N eyes come to lie on one another.
        original: ``(N, H, W, 3)`` uint8 RGB.
        modulated: ``(N, H, W, 3)`` uint8 RGB, at one budget.
        target: ``(N,)`` 0 or 1: the class each eye was pushed towards.
        groups: ``(N,)`` person of each eye.
        classes: Names of class 0 and 1.
        null_versions: By name, ``(N, H, W, 3)`` what versions that learned shuffled labels made of
            the same eyes at the same budget.
        permutations: Sign vectors, and permutations of labels.
        seed: Seed of their draw.

    Returns:
        Maps towards a class with fewer than :data:`FEWEST_PEOPLE` people are left out.

    Raises:
        InputError: Lengths or shapes differ, a target is neither 0 nor 1, or every map is left out.
    """
    aims, people = _aligned(registered, len(original), target, groups)
    own = registered.changes(original, modulated)
    nulls = {name: registered.changes(original, each) for name, each in null_versions.items()}
    names = [f"towards {name}" for name in classes]
    left_out = _left_out(aims, people, names)
    drawn = {"permutations": permutations, "seed": seed}
    maps = {}
    for label, name in enumerate(names):
        if name not in left_out:
            chosen = aims == bool(label)
            test = partial(sign_flip_map, groups=people[chosen], **drawn)
            changes = {each: found[chosen] for each, found in nulls.items()}
            maps[name] = _mapped(name, own[chosen], changes, test, people[chosen])
    if not left_out:
        test = partial(difference_map, second=aims, groups=people, **drawn)
        maps[DIFFERENCE] = _mapped(DIFFERENCE, own, nulls, test, people)
    return ChangeAtlas(maps=maps, left_out=left_out, registered=registered)


def maps_left_out(
    registered: RegisteredEyes, target: ArrayLike, groups: ArrayLike, *, classes: tuple[str, str]
) -> dict[str, str]:
    """Say which maps :func:`change_atlas` would leave out and why, before any eye is changed.

    Raises:
        InputError: Lengths differ, a target is neither 0 nor 1, or every map is left out.
    """
    eyes = len(registered.kept) + sum(registered.abstained.values())
    aims, people = _aligned(registered, eyes, target, groups)
    return _left_out(aims, people, [f"towards {name}" for name in classes])


def _aligned(
    registered: RegisteredEyes, eyes: int, target: ArrayLike, groups: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
    """``(M,)`` whether each aligned eye is pushed towards class 1, and its person."""
    aims, people = np.asarray(target), np.asarray(groups)
    for name, given in {"target": aims, "groups": people}.items():
        if len(given) != eyes:
            raise InputError(f"{name}: {len(given)} given for {eyes} eyes")
    if not np.isin(aims, (0, 1)).all():
        raise InputError("target: each must be 0 or 1")
    return aims[registered.kept] == 1, people[registered.kept]


def _left_out(
    aims: NDArray[np.bool_], people: NDArray[np.generic], names: list[str]
) -> dict[str, str]:
    counts = [len(np.unique(people[aims == label])) for label in (False, True)]
    if max(counts) < FEWEST_PEOPLE:
        told = " and ".join(
            f"{count} aligned people {name}" for count, name in zip(counts, names, strict=True)
        )
        raise InputError(f"eyes: {told}; a map needs {FEWEST_PEOPLE}")
    few = {
        name: f"{count} people, {FEWEST_PEOPLE} are needed"
        for name, count in zip(names, counts, strict=True)
        if count < FEWEST_PEOPLE
    }
    return few | ({DIFFERENCE: "both classes are needed"} if few else {})


def _mapped(
    name: str,
    own: Planes,
    nulls: Mapping[str, Planes],
    test: "partial[MapTest]",
    people: NDArray[np.generic],
) -> ChangeMap:
    """Test the mean over RGB; average each channel."""
    shape = own.shape[1:3]
    found = test(own.mean(axis=3).reshape(len(own), -1))
    quick = partial(test, permutations=0)
    channels = [quick(own[..., channel].reshape(len(own), -1)).mean for channel in range(3)]
    largest = {
        each: quick(changes.mean(axis=3).reshape(len(changes), -1)).largest
        for each, changes in nulls.items()
    }
    reached = [value >= np.abs(found.statistic) for value in largest.values()]
    null_p = (1 + np.sum(reached, axis=0)) / (len(largest) + 1)
    return ChangeMap(
        name=name,
        eyes=len(own),
        people=len(np.unique(people)),
        mean=found.mean.reshape(shape),
        channels=np.stack([each.reshape(shape) for each in channels], axis=-1),
        statistic=found.statistic.reshape(shape),
        p=found.pvalue.reshape(shape),
        null_largest=largest,
        null_p=np.where(np.isnan(found.statistic), np.nan, null_p).reshape(shape),
    )
