"""A circle through edge points of which some belong to something else; perhaps a squashed one."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2

Floats = NDArray[np.float64]

TOLERANCE = 0.015
"""Share of the radius a point may be off the circle and still count as on it."""
CLOSE = 0.0075
"""Likewise where a round and a squashed circle are compared."""
CONVINCING = 0.9
"""Share of the points on a round circle that ends the search for a better one."""
LIKELY = 0.7
"""Likewise that ends it before every aspect is tried: no other circle can hold that many."""
CLEARLY_BETTER = 0.1
"""Share of the points a squashed circle must explain beyond what a round one does."""
LEAST_SQUASH = 0.015
"""Departure of the aspect from 1 that counts; that of cameras known not to squash is smaller."""
BOTH_AXES = 0.7
"""Share of either half-axis along which the edge must be seen before an aspect is believed."""
ASPECTS = tuple(np.geomspace(0.55, 1 / 0.55, 31).tolist())
"""Squashings that are tried: 16:9 made square either way, in steps of 4 %."""
VOTERS = 100
"""Points that vote; the others only refine."""
TRIALS = (16, 300)
"""Round circles through three points that are tried; more where the first few do not convince."""
TRIALS_PER_ASPECT = 60
"""Squashed circles tried per aspect: hardly any point of one that counts lies off it."""
NARROWING = (2.0, 1.0)
"""Tolerances, in :data:`TOLERANCE`, within which a point pulls at each refining step."""
NARROWING_SQUASHED = (8.0, 4.0, 2.0, 1.0, 1.0, 1.0, 1.0)
"""Likewise towards a squashed circle, from one that lies further away."""


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

    def holds(self, points: Floats, *, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
        """Say which of ``(..., 2)`` points lie on it, up to a share of the radius."""
        away = np.hypot(*self.offsets(points)) - self.radius
        return np.asarray(np.abs(away) <= tolerance * self.radius)


def fit_circle(points: Floats, *, low: float, high: float) -> Circle | None:
    """Find the circle that most points lie on.

    A photograph whose frame was made square afterwards shows an ellipse. Its aspect is only
    believed where the edge was seen along both axes, and where it explains clearly more of the
    points than the round circle does; otherwise the circle stays round.

    Args:
        points: ``(n, 2)`` columns and rows along an edge, at least three.
        low: Least radius allowed.
        high: Greatest radius allowed.

    Returns:
        The circle refined on the points that lie on it, or None where no radius is allowed.

    Source:
        Fischler and Bolles 1981 (RANSAC); Gauss-Newton on the points' distances to the circle.
    """
    voters = points[:: -(-len(points) // VOTERS)]
    voted = _vote(voters[::2], low, high, aspect=1.0, trials=TRIALS[0])
    if voted is None or _share(voted, voters) < CONVINCING:
        voted = _vote(voters, low, high, aspect=1.0, trials=TRIALS[1])
    if voted is None:
        return None
    refined = _refine(voted, points, NARROWING, squashed=False)
    circle = refined if low <= refined.radius <= high else voted
    share = _share(circle, points)
    beside = _step(circle, points, tolerance=NARROWING_SQUASHED[0] * TOLERANCE, squashed=True)
    if share >= CONVINCING and abs(beside.aspect - 1) < LEAST_SQUASH / 2:
        return circle
    squashed = _refine(circle, points, NARROWING_SQUASHED, squashed=True)
    for start in (_conic, _vote_on_aspect):
        if share >= LIKELY or _share(squashed, points) >= CONVINCING:
            break
        other = _refine(start(voters, low, high), points, NARROWING_SQUASHED, squashed=True)
        squashed = max(squashed, other, key=lambda each: _share(each, points))
    believed = low <= squashed.radius <= high and _is_squashed(squashed, circle, points)
    return squashed if believed else circle


def draw_disc(circle: Circle, shape: tuple[int, ...], *, grown: float = 1.0) -> NDArray[np.uint8]:
    """Draw ``(H, W)`` uint8, 1 within ``grown`` times the radius of a circle, 0 outside."""
    bits = 4
    radius = grown * circle.radius
    centre, axes = (
        tuple(round(value * 2**bits) for value in pair)
        for pair in ((circle.x, circle.y), (radius * circle.aspect, radius))
    )
    disc = np.zeros(shape, np.uint8)
    cv2.ellipse(disc, centre, axes, 0, 0, 360, 1, cv2.FILLED, cv2.LINE_8, bits)
    return disc


def _is_squashed(squashed: Circle, circle: Circle, points: Floats) -> bool:
    if abs(squashed.aspect - 1) < LEAST_SQUASH:
        return False
    across, down = squashed.offsets(points[squashed.holds(points)])
    seen = min(np.abs(across).max(initial=0), np.abs(down).max(initial=0))
    if seen < BOTH_AXES * squashed.radius:
        return False
    return any(
        squashed.holds(points, tolerance=tolerance).mean()
        >= circle.holds(points, tolerance=tolerance).mean() + CLEARLY_BETTER
        for tolerance in (TOLERANCE, CLOSE)
    )


def _share(circle: Circle, points: Floats) -> float:
    return np.count_nonzero(circle.holds(points)) / len(points)


def _vote(points: Floats, low: float, high: float, *, aspect: float, trials: int) -> Circle | None:
    stretched = points / np.array([aspect, 1.0])
    circles = _through(stretched[_draws(len(points), trials)])
    circles = circles[(circles[:, 2] >= low) & (circles[:, 2] <= high)]
    if not len(circles):
        return None
    apart = stretched.T[:, None] - circles.T[:2, :, None]
    away = np.hypot(*apart) - circles[:, 2:]
    votes = np.count_nonzero(np.abs(away) <= TOLERANCE * circles[:, 2:], axis=1)
    x, y, radius = circles[int(votes.argmax())].tolist()
    return Circle(x * aspect, y, radius, aspect)


@lru_cache(maxsize=256)
def _draws(count: int, trials: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(count, size=(trials, 3))


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


def _vote_on_aspect(points: Floats, low: float, high: float) -> Circle:
    """Stretched by the right aspect the points lie on a circle, so each has a vote of its own."""
    votes = [_vote(points, low, high, aspect=a, trials=TRIALS_PER_ASPECT) for a in ASPECTS]
    best = max((v for v in votes if v), key=lambda vote: _share(vote, points), default=None)
    return best or _conic(points, low, high)


def _conic(points: Floats, low: float, high: float) -> Circle:
    """The upright ellipse of least squared algebraic distance, kept within the radii."""
    middle = points.mean(axis=0)
    columns, rows = (points - middle).T
    terms = np.column_stack([-(rows**2), 2 * columns, 2 * rows, np.ones(len(points))])
    squared, x, y, rest = np.linalg.lstsq(terms, columns**2, rcond=None)[0].tolist()
    squared = min(max(squared, ASPECTS[0] ** 2), ASPECTS[-1] ** 2)
    y /= squared
    height = ((rest + x**2) / squared + y**2) ** 0.5 if rest + x**2 + squared * y**2 > 0 else low
    return Circle(
        float(middle[0]) + x, float(middle[1]) + y, min(max(height, low), high), squared**0.5
    )


def _refine(
    circle: Circle, points: Floats, narrowing: tuple[float, ...], *, squashed: bool
) -> Circle:
    """Least squares on the points near the circle, which move with it."""
    refined = circle
    for width in narrowing:
        refined = _step(refined, points, tolerance=width * TOLERANCE, squashed=squashed)
    # Where hardly any point lies on it, a step may lead anywhere.
    lost = _share(circle, points) - _share(refined, points)
    return refined if lost < CLEARLY_BETTER else circle


def _step(circle: Circle, points: Floats, *, tolerance: float, squashed: bool) -> Circle:
    across, down = circle.offsets(points)
    distance = np.hypot(across, down)
    away = distance - circle.radius
    near = np.abs(away) <= tolerance * circle.radius
    free = 4 if squashed else 3
    if np.count_nonzero(near) <= free:
        return circle
    across, down, distance, away = across[near], down[near], distance[near], away[near]
    slope = np.empty((free, len(away)))
    slope[0] = across / (circle.aspect * distance)
    slope[1] = down / distance
    slope[2] = 1
    if squashed:
        slope[3] = across * slope[0]
    normal = slope @ slope.T
    normal.ravel()[:: free + 1] *= 1 + 1e-12
    change = np.linalg.solve(normal, slope @ away).tolist()
    x, y, radius, aspect = (old + new for old, new in zip(circle, [*change, 0.0], strict=False))
    return Circle(x, y, radius, aspect) if min(radius, aspect) > 0 else circle
