"""Changes of the same length that no network made: what a modulation must do better than."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2

Floats = NDArray[np.float32]

CENTRE_SPREAD = 0.25
"""Standard deviation of the centre prior, in sides of the square."""
VESSEL_WIDTH = 0.04
"""Width of the widest vessel that the vessel map shows, in sides of the square."""
TRIES = 30
"""Scales tried until a change has its length."""
NEAR_ENOUGH, AIM = 0.995, 0.998
"""Shares of its length at which a change is long enough, and that the next scale aims at."""
LARGEST_SCALE = 2.0**12
"""Grey levels per unit of direction from where on a longer change is not looked for."""
CONTRAST_BLEND = "contrast blend"


def control_pictures(
    control: str,
    pixels: NDArray[np.uint8],
    lengths: NDArray[np.float64],
    *,
    seed: int,
    allowed: NDArray[np.bool_] | None = None,
    partners: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Change each eye by the given lengths in a direction that asks no network.

    Args:
        control: One of :data:`CONTROL_DIRECTIONS`, or ``contrast blend``: towards another eye.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        lengths: ``(E, N)`` Euclidean lengths, of pixels in [0, 1].
        seed: Seed of the noise.
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.
        partners: ``(N, H, W, 3)`` uint8, the eyes that ``contrast blend`` goes towards.

    Returns:
        ``(E, N, H, W, 3)`` uint8. A change is as near its length as 8 bits allow; it is shorter
        where the eye, or for a blend the way to the partner, ends before.

    Raises:
        InputError: No such control, or a blend without partners.
    """
    if control != CONTRAST_BLEND and control not in CONTROL_DIRECTIONS:
        allowed_names = ", ".join((*CONTROL_DIRECTIONS, CONTRAST_BLEND))
        raise InputError(f"control={control}: allowed: {allowed_names}")
    if control == CONTRAST_BLEND and partners is None:
        raise InputError(f"control={control}: needs partners")
    if control == CONTRAST_BLEND:
        assert partners is not None
        towards = (
            other.astype(np.float32) - eye for eye, other in zip(pixels, partners, strict=True)
        )
        return pictures_along(pixels, towards, lengths, allowed=allowed, longest=1.0)
    return pictures_along(pixels, _noise(control, pixels, seed), lengths, allowed=allowed)


def pictures_along(
    pixels: NDArray[np.uint8],
    directions: Iterable[Floats],
    lengths: NDArray[np.float64],
    *,
    allowed: NDArray[np.bool_] | None = None,
    longest: float = LARGEST_SCALE,
) -> NDArray[np.uint8]:
    """Change each eye by the given lengths along one direction.

    Args:
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        directions: N directions ``(H, W, 3)``, about 1 where they are steepest.
        lengths: ``(E, N)`` Euclidean lengths, of pixels in [0, 1].
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.
        longest: Grey levels per unit of direction beyond which nothing is tried.

    Returns:
        ``(E, N, H, W, 3)`` uint8, as :func:`control_pictures`.
    """
    changed = np.empty((len(lengths), *pixels.shape), np.uint8)
    for place, (eye, direction) in enumerate(zip(pixels, directions, strict=True)):
        free = direction if allowed is None else direction * allowed[place, ..., None]
        for slab, length in zip(changed, lengths[:, place], strict=True):
            slab[place] = _of_length(eye, free, float(length) * 255, longest)
    return changed


def _noise(control: str, pixels: NDArray[np.uint8], seed: int) -> Iterable[Floats]:
    for place, eye in enumerate(pixels):
        noise = np.random.default_rng((seed, place)).standard_normal(eye.shape, np.float32)
        yield noise * CONTROL_DIRECTIONS[control](eye)[..., None]


def blend_partners(
    frame: pd.DataFrame, chosen: pd.DataFrame, target: NDArray[np.float32], *, seed: int
) -> NDArray[np.intp]:
    """Draw for each chosen eye another person's eye of the class it is pushed towards.

    Args:
        frame: Manifest rows to draw from.
        chosen: Manifest rows of N eyes.
        target: ``(N,)``, 0 or 1, the class to push towards.
        seed: Seed of the draw.

    Returns:
        ``(N,)`` positions in ``frame``.

    Raises:
        InputError: A class has no other person.
    """
    generator = np.random.default_rng(seed)
    labels, people = frame["label"].to_numpy(), frame["person_group"].to_numpy()
    partners = []
    for person, wanted in zip(chosen["person_group"], target, strict=True):
        fitting = np.flatnonzero((labels == wanted) & (people != person))
        if not len(fitting):
            raise InputError("contrast blend: no other person's eye of the target class to go to")
        partners.append(generator.choice(fitting))
    return np.asarray(partners, np.intp)


def _of_length(
    eye: NDArray[np.uint8], direction: Floats, length: float, longest: float
) -> NDArray[np.uint8]:
    """Go along ``direction`` until the 8-bit change is ``length`` grey levels long, or nearly."""
    steepness = float(np.sqrt(np.square(direction).sum(dtype=np.float64)))
    near, far, reached = 0.0, longest, eye
    scale = min(length / steepness, longest) if steepness else 0.0
    for _ in range(TRIES):
        moved = np.clip(np.rint(eye + scale * direction), 0, 255).astype(np.uint8)
        change = moved.astype(np.float32) - eye
        found = float(np.sqrt(np.square(change).sum(dtype=np.float64)))
        if found > length:
            far = scale
        else:
            near, reached = scale, moved
            if found >= NEAR_ENOUGH * length or scale == longest:
                break
        # A change grows about as its scale does, until levels or the ends of grey break in.
        scale *= min(AIM * length / found, 2.0) if found else 2.0
        if not near < scale < far:
            scale = longest if far == longest and scale >= longest else (near + far) / 2
    return reached


def _everywhere(eye: NDArray[np.uint8]) -> Floats:
    return np.ones(eye.shape[:2], np.float32)


def centre_prior(height: int, width: int) -> Floats:
    """Gaussian about the middle of a picture, ``(height, width)``, 1 there."""
    y, x = (
        (np.arange(side, dtype=np.float32) + 0.5) / np.float32(side) - 0.5
        for side in (height, width)
    )
    squared: Floats = y[:, None] ** 2 + x[None] ** 2
    prior: Floats = np.exp(-squared / (2 * CENTRE_SPREAD**2))
    return prior


def _centre(eye: NDArray[np.uint8]) -> Floats:
    return centre_prior(*eye.shape[:2])


def _edges(eye: NDArray[np.uint8]) -> Floats:
    """Steepness of the grey picture, the border of the field of view among it; at most 1."""
    grey = cv2.cvtColor(eye, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steepness = np.hypot(cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1))
    return _at_most_one(steepness)


def _vessels(eye: NDArray[np.uint8]) -> Floats:
    """Dark lines on green: closing minus picture, at most 1.

    The black top-hat: the same without a network for real eyes and painted ones.
    """
    width = max(3, 2 * round(VESSEL_WIDTH * eye.shape[0] / 2) + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    dark = cv2.morphologyEx(np.ascontiguousarray(eye[..., 1]), cv2.MORPH_BLACKHAT, disc)
    return _at_most_one(dark.astype(np.float32))


def _at_most_one(found: Floats) -> Floats:
    return found / max(float(found.max()), 1.0)


CONTROL_DIRECTIONS: Mapping[str, Callable[[NDArray[np.uint8]], Floats]] = MappingProxyType(
    {
        "random direction": _everywhere,
        "centre prior": _centre,
        "edge map": _edges,
        "vessel map": _vessels,
    }
)
"""How strongly noise changes each pixel, ``(H, W)``, by the name of the control."""
