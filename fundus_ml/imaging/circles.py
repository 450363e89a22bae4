"""A circle through edge points of which some belong to something else; perhaps a squashed one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE = 0.015
"""Share of the radius a point may be off the circle and still count as on it."""
CLEARLY_BETTER = 0.1
"""Share of the points a squashed circle must explain beyond what a round one does."""
ASPECTS = tuple(np.geomspace(0.55, 1 / 0.55, 61).tolist())
"""Squashings that are tried: 16:9 made square either way, in steps of 2 %."""
TRIALS = 400
"""Round circles through three points that are tried."""
TRIALS_PER_ASPECT = 60
"""Squashed circles tried per aspect: hardly any point of one that counts lies off it."""
ROUNDS = 5
"""Gauss-Newton steps; the vote leaves less than a pixel to refine."""


class Circle(NamedTuple):
    """A circle, or the ellipse it becomes when a picture's width is scaled.

    Attributes:
        x: Column of the centre.
        y: Row of the centre.
        radius: Half its height.
        aspect: Its width over its height; 1 is round.
    """

    x: float
    y: float
    radius: float
    aspect: float

    def offsets(self, points: Floats) -> tuple[Floats, Floats]:
        """Say where ``(..., 2)`` points lie from the centre, as (across, down), unsquashed."""
        return (points[..., 0] - self.x) / self.aspect, points[..., 1] - self.y

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Say which of ``(..., 2)`` points lie on it, up to :data:`TOLERANCE`."""
        away = np.hypot(*self.offsets(points)) - self.radius
        return np.asarray(np.abs(away) <= TOLERANCE * self.radius)


def fit_circle(points: Floats, *, low: float, high: float) -> Circle | None:
    """Find the circle that most points lie on.

    A photograph whose frame was made square afterwards shows an ellipse. Stretching its width back
    makes the points a circle again, so every aspect is a vote of its own; round wins unless another
    explains clearly more of the points.

    Args:
        points: ``(n, 2)`` columns and rows, at least three.
        low: Least radius allowed.
        high: Greatest radius allowed.

    Returns:
        The circle refined on the points that lie on it, or None where no radius is allowed.

    Source:
        Fischler and Bolles 1981 (RANSAC); Gauss-Newton on the points' distances to the circle.
    """
    circle = _vote(points, low, high, aspect=1.0, trials=TRIALS)
    share = _share(circle, points)
    if share <= 1 - CLEARLY_BETTER:
        votes = [_vote(points, low, high, aspect=a, trials=TRIALS_PER_ASPECT) for a in ASPECTS]
        squashed = max(votes, key=lambda vote: _share(vote, points))
        if _share(squashed, points) >= share + CLEARLY_BETTER:
            circle = squashed
    if circle is None:
        return None
    refined = _refine(circle, points[circle.holds(points)])
    # Where hardly any point lies on it, a step may lead anywhere.
    lost = _share(circle, points) - _share(refined, points)
    return refined if lost < CLEARLY_BETTER else circle


def _share(circle: Circle | None, points: Floats) -> float:
    return 0.0 if circle is None else float(circle.holds(points).mean())


def _vote(points: Floats, low: float, high: float, *, aspect: float, trials: int) -> Circle | None:
    stretched = points / np.array([aspect, 1.0])
    draws = np.random.default_rng(0).integers(len(points), size=(trials, 3))
    circles = _through(stretched[draws])
    circles = circles[(circles[:, 2] >= low) & (circles[:, 2] <= high)]
    if not len(circles):
        return None
    apart = stretched[None] - circles[:, None, :2]
    away = np.hypot(apart[..., 0], apart[..., 1]) - circles[:, 2:]
    votes = (np.abs(away) <= TOLERANCE * circles[:, 2:]).sum(axis=1)
    x, y, radius = circles[int(votes.argmax())].tolist()
    return Circle(x * aspect, y, radius, aspect)


def _through(triples: Floats) -> Floats:
    """Circles ``(n, 3)`` as x, y, radius through ``(n, 3, 2)`` points; bad triples are left out."""
    origin = triples[:, 0]
    b, c = triples[:, 1] - origin, triples[:, 2] - origin
    twice = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    usable = np.abs(twice) > 1
    origin, b, c, twice = origin[usable], b[usable], c[usable], twice[usable]
    b2, c2 = (b**2).sum(axis=1), (c**2).sum(axis=1)
    x = (c[:, 1] * b2 - b[:, 1] * c2) / twice
    y = (b[:, 0] * c2 - c[:, 0] * b2) / twice
    return np.column_stack([origin[:, 0] + x, origin[:, 1] + y, np.hypot(x, y)])


def _refine(circle: Circle, points: Floats) -> Circle:
    free = 3 if circle.aspect == 1 else 4
    for _ in range(ROUNDS):
        across, down = circle.offsets(points)
        distance = np.hypot(across, down)
        slope = np.column_stack(
            [
                -across / (circle.aspect * distance),
                -down / distance,
                -np.ones(len(points)),
                -(across**2) / (circle.aspect * distance),
            ]
        )
        step = np.zeros(4)
        step[:free] = np.linalg.lstsq(slope[:, :free], circle.radius - distance, rcond=None)[0]
        circle = Circle(*(np.array(circle) + step).tolist())
    return circle
