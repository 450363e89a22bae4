"""Retinal vessels: four arcades from the disc, branching into tapering trees.

Grown in the disc's own frame: origin at the disc's centre, x towards the fovea (temporal), y up,
retina units. Every possible branch is drawn; the eye's density decides which exist, so that a
denser tree contains a sparser one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.synthesis.anatomy import DISC_DIAMETER, Eye

Floats = NDArray[np.float64]

_FINEST = 0.0022
"""Narrowest width painted, retina units: a third of a pixel in a field 300 pixels wide."""

_SEEN = 1.05
"""Farthest from the field's centre that a vessel is kept, retina units."""

_MURRAY = 3.0
"""Exponent of the law that a parent's width obeys at a branch."""


class Segments(NamedTuple):
    """Short straight pieces of vessel in image retina units.

    Attributes:
        ends: ``(S, 2, 2)`` both ends of each piece, x right and y down.
        widths: ``(S,)`` retina units.
        artery: ``(S,)`` True for arteries, False for veins.
    """

    ends: Floats
    widths: Floats
    artery: NDArray[np.bool_]


@dataclass(frozen=True)
class _Growth:
    """Vessels of one generation; ``n`` vessels of ``k`` points each."""

    paths: Floats  # (n, k, 2)
    angles: Floats  # (n, k)
    widths: Floats  # (n, k)
    lengths: Floats  # (n,)
    artery: NDArray[np.bool_]  # (n,)
    hemisphere: Floats  # (n,) 1 above the raphe, -1 below, 0 free
    rank: Floats  # (n,) exists where the eye's density exceeds it


@dataclass(frozen=True)
class _Branching:
    """How one generation gives rise to the next."""

    count: int
    points: int
    length: tuple[float, float]
    width: tuple[float, float]


_GENERATIONS = (
    _Branching(count=8, points=28, length=(0.35, 0.85), width=(0.32, 0.62)),
    _Branching(count=4, points=14, length=(0.35, 0.75), width=(0.40, 0.68)),
    _Branching(count=3, points=8, length=(0.30, 0.60), width=(0.45, 0.70)),
)


def grow_vessels(eye: Eye) -> Segments:
    """Grow both trees of an eye.

    Args:
        eye: Its calibre, density and tortuosity shape the trees, its seed draws the rest.

    Returns:
        Pieces of every vessel that exists, in image retina units.

    Source:
        Widths at a branch follow Murray 1926, doi:10.1073/pnas.12.3.207. The paths are ours.
    """
    generator = eye.generator(1)
    fovea = np.array([abs(eye.fovea_x - eye.disc_x), eye.disc_y - eye.fovea_y])
    generation = _grow_trunks(eye, generator)
    grown = []
    for branching in _GENERATIONS:
        places, share, left = _place_branches(generation, branching, generator)
        parents = _taper(generation, left, fovea)
        widths = share * np.take_along_axis(parents.widths, places, axis=1)
        generation = _grow_branches(
            eye, parents, branching, places=places, widths=widths, generator=generator
        )
        grown.append(parents)
    grown.append(_taper(generation, np.ones_like(generation.widths), fovea))
    return _cut(grown, eye)


def _walk(
    start: Floats,
    *,
    leave: Floats,
    head: Floats,
    turn: Floats,
    lengths: Floats,
    points: int,
    swing: Floats,
    generator: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Walk from ``start``, leaving at one angle and turning to another over a distance."""
    count = len(start)
    along = np.linspace(0, 1, points)[None, :] * lengths[:, None]
    angles = head[:, None] + (leave - head)[:, None] * np.exp(-along / turn[:, None])
    waves = np.array([1.3, 3.1, 6.0])
    frequency = waves * generator.uniform(0.7, 1.4, (count, 3))
    phase = generator.uniform(0, 2 * np.pi, (count, 3))
    height = generator.normal(0, 1, (count, 3)) * np.array([0.75, 0.55, 0.35])
    wobble = np.sin(2 * np.pi * frequency[:, None] * along[..., None] + phase[:, None])
    angles += swing[:, None] * np.einsum("nkw,nw->nk", wobble - wobble[:, :1], height)
    step = (lengths / (points - 1))[:, None, None]
    moves = step * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    paths = start[:, None] + np.cumsum(moves, axis=1) - moves[:, :1]
    return paths, angles


def _grow_trunks(eye: Eye, generator: np.random.Generator) -> _Growth:
    # One row per trunk: angle leaving the disc, heading, distance over which it turns, length,
    # width; degrees in the upper half, 0 towards the fovea, 180 nasal.
    arcade = [(97.0, -12.0, 0.48, 2.0, 0.026), (102.0, 150.0, 0.50, 1.1, 0.017)]
    small = [(58.0, 8.0, 0.30, 0.62, 0.0075), (150.0, 166.0, 0.50, 0.75, 0.0075)]
    spread = [(9.0, 7.0, 0.06, 0.1, 0.0018), (9.0, 12.0, 0.1, 0.1, 0.0020)]
    spread += [(14.0, 6.0, 0.06, 0.08, 0.0012), (24.0, 20.0, 0.1, 0.12, 0.0012)]
    kinds = np.array(arcade + small)
    plan = np.tile(kinds, (4, 1))
    plan += np.tile(np.array(spread), (4, 1)) * generator.normal(0, 1, plan.shape).clip(-1.8, 1.8)
    upper = np.repeat([1.0, 1.0, -1.0, -1.0], len(kinds))
    artery = np.repeat([True, False, True, False], len(kinds))
    leave, head = upper * np.deg2rad(plan[:, 0]), upper * np.deg2rad(plan[:, 1])
    # A vein runs a little outside its artery and is a third wider (artery to vein 0.7 to 0.8).
    turn = plan[:, 2] * np.where(artery, 0.95, 1.08)
    widths = plan[:, 4] * np.where(artery, 0.74, 1.0)
    start = np.stack(
        [
            -0.022 + np.where(artery, 0.012, -0.012) + generator.normal(0, 0.006, len(plan)),
            upper * 0.012 + generator.normal(0, 0.006, len(plan)),
        ],
        axis=-1,
    )
    paths, angles = _walk(
        start,
        leave=leave,
        head=head,
        turn=turn,
        lengths=plan[:, 3],
        points=64,
        swing=np.full(len(plan), 1.25 * eye.vessel_tortuosity),
        generator=generator,
    )
    big = np.tile([True, True, False, False], 4)
    optional = generator.random(len(plan))
    return _Growth(
        paths=paths,
        angles=angles,
        widths=np.repeat(widths[:, None], 64, axis=1),
        lengths=plan[:, 3],
        artery=artery,
        hemisphere=np.where(np.tile([True, False, True, False], 4), upper, 0.0),
        rank=np.where(big, 0.0, optional),
    )


def _place_branches(
    parents: _Growth, branching: _Branching, generator: np.random.Generator
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Choose where branches leave, their share of the parent's width there, and what is left."""
    count, points = parents.angles.shape
    slots = (
        np.arange(branching.count) + generator.uniform(0.15, 0.85, (count, branching.count))
    ) / (branching.count)
    places = (1 + (0.10 + 0.86 * slots) * (points - 2)).astype(np.int64)
    share = generator.uniform(*branching.width, (count, branching.count))
    left = np.ones((count, points))
    for branch in range(branching.count):
        after = np.arange(points)[None, :] > places[:, branch, None]
        kept = (1 - share[:, branch] ** _MURRAY) ** (1 / _MURRAY)
        left *= np.where(after, kept[:, None], 1.0)
    return places, share, left


def _grow_branches(
    eye: Eye,
    parents: _Growth,
    branching: _Branching,
    *,
    places: NDArray[np.int64],
    widths: Floats,
    generator: np.random.Generator,
) -> _Growth:
    count, branches = places.shape
    start = np.take_along_axis(parents.paths, places[..., None], axis=1).reshape(-1, 2)
    parent_angle = np.take_along_axis(parents.angles, places, axis=1).reshape(-1)
    # Branches leave on alternate sides, beginning on either, and one in five breaks the order.
    side = np.where(np.arange(branches) % 2 == 0, 1.0, -1.0) * _signs((count, 1), 0.5, generator)
    side = (side * _signs((count, branches), 0.8, generator)).reshape(-1)
    total = count * branches
    lengths = np.repeat(parents.lengths.clip(max=1.1), branches) * generator.uniform(
        *branching.length, total
    )
    paths, angles = _walk(
        start,
        leave=parent_angle + side * generator.uniform(0.55, 1.10, total),
        head=parent_angle + side * generator.uniform(0.25, 1.15, total),
        turn=generator.uniform(0.08, 0.35, total),
        lengths=lengths,
        points=branching.points,
        swing=np.full(total, 2.4 * eye.vessel_tortuosity),
        generator=generator,
    )
    return _Growth(
        paths=paths,
        angles=angles,
        widths=np.repeat(widths.reshape(-1)[:, None], branching.points, axis=1),
        lengths=lengths,
        artery=np.repeat(parents.artery, branches),
        hemisphere=np.repeat(parents.hemisphere, branches),
        rank=np.maximum(np.repeat(parents.rank, branches), generator.random(total)),
    )


def _signs(shape: tuple[int, int], positive: float, generator: np.random.Generator) -> Floats:
    return np.where(generator.random(shape) < positive, 1.0, -1.0)


def _taper(vessels: _Growth, left: Floats, fovea: Floats) -> _Growth:
    """Narrow vessels along their way, and end them before the fovea and at the raphe."""
    points = vessels.angles.shape[1]
    ending = 1 - 0.8 * np.linspace(0, 1, points) ** 2.5
    away = np.hypot(*np.moveaxis(vessels.paths - fovea, -1, 0)) / DISC_DIAMETER
    spared = ((away - 0.28) / 0.75).clip(0, 1) ** 0.5
    above = vessels.hemisphere[:, None] * (vessels.paths[..., 1] - fovea[1])
    temporal = vessels.paths[..., 0] > DISC_DIAMETER
    raphe = np.where(
        temporal & (vessels.hemisphere[:, None] != 0), ((above + 0.03) / 0.12).clip(0, 1), 1.0
    )
    # A vessel that has narrowed does not widen again, and one that has ended does not come back.
    kept = np.minimum.accumulate(spared * raphe**0.5, axis=1)
    widths = vessels.widths * left * ending * kept
    return _Growth(
        vessels.paths,
        vessels.angles,
        widths,
        vessels.lengths,
        vessels.artery,
        vessels.hemisphere,
        vessels.rank,
    )


def _cut(generations: list[_Growth], eye: Eye) -> Segments:
    """Cut the vessels that exist into straight pieces, in image retina units."""
    ends, widths, artery = [], [], []
    for vessels in generations:
        exists = vessels.rank < eye.vessel_density
        paths, width = vessels.paths[exists], vessels.widths[exists] * eye.vessel_calibre
        pieces = np.stack([paths[:, :-1], paths[:, 1:]], axis=2).reshape(-1, 2, 2)
        mean_width = ((width[:, :-1] + width[:, 1:]) / 2).reshape(-1)
        visible = mean_width > _FINEST
        ends.append(pieces[visible])
        widths.append(mean_width[visible])
        artery.append(np.repeat(vessels.artery[exists], paths.shape[1] - 1)[visible])
    joined = np.concatenate(ends)
    image = np.stack(
        [eye.disc_x + eye.temporal * joined[..., 0], eye.disc_y - joined[..., 1]], axis=-1
    )
    within = (np.hypot(image[..., 0], image[..., 1]) < _SEEN).any(axis=1)
    return Segments(image[within], np.concatenate(widths)[within], np.concatenate(artery)[within])
