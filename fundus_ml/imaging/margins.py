"""What a picture gives away besides the eye: what surrounds it, how it is cut, its overall tint."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MEASURED_SIDE = 96
"""Pixels per side that are looked at; a larger square is read in steps."""
BLACK = 12
"""Brightest channel, of 255, up to which a pixel inside the circle is padding or shadow."""
INNER = 0.9
"""Share of the radius within which colour is measured, clear of the rim."""
RIM = 0.96
"""Share of the radius where the rim begins."""

BORDER = (
    "outside_mean",
    "outside_std",
    "upper_left",
    "upper_right",
    "lower_left",
    "lower_right",
    "rim_mean",
    "rim_std",
    "rim_fall",
    "black_share",
)
COLOUR = (
    "red",
    "green",
    "blue",
    "red_spread",
    "green_spread",
    "blue_spread",
    "green_to_red",
    "blue_to_red",
)


def measure_margins(pixels: NDArray[np.uint8]) -> pd.DataFrame:
    """Measure border, padding and tint of cropped eyes, none of which is anatomy.

    Brightness is the mean of the channels. The tint is taken as median and interquartile range,
    which the disc and the vessels hardly move.

    Args:
        pixels: ``(n, size, size, 3)`` uint8 RGB, the circle inscribed.

    Returns:
        ``n`` rows of :data:`BORDER` (outside the circle, in its corners, on the rim; ``rim_fall``
        is the brightness the rim lacks) and :data:`COLOUR`, in grey levels; ``black_share`` is the
        share of the circle that is black, the ratios are of medians.
    """
    step = -(-pixels.shape[1] // MEASURED_SIDE)
    seen = pixels[:, step // 2 :: step, step // 2 :: step]
    radius, right, lower = _places(pixels.shape[1], step)
    grey = seen.mean(axis=3, dtype=np.float32)
    return pd.DataFrame(
        _border(seen, grey, radius, right, lower) | _colour(seen[:, radius < INNER])
    )


def _places(size: int, step: int) -> tuple[NDArray[np.float64], ...]:
    along = (2 * np.arange(step // 2, size, step) + 1 - size) / size
    lower, right = np.meshgrid(along, along, indexing="ij")
    return np.hypot(lower, right), right, lower


def _border(
    seen: NDArray[np.uint8],
    grey: NDArray[np.float32],
    radius: NDArray[np.float64],
    right: NDArray[np.float64],
    lower: NDArray[np.float64],
) -> dict[str, NDArray[np.floating]]:
    outside = grey[:, radius > 1]
    rim = grey[:, (radius > RIM) & (radius <= 1)]
    within = grey[:, (radius > INNER - 0.1) & (radius <= INNER)]
    corners = {
        f"{vertical}_{horizontal}": grey[:, (radius > 1) & down & across].mean(axis=1)
        for vertical, down in (("upper", lower < 0), ("lower", lower > 0))
        for horizontal, across in (("left", right < 0), ("right", right > 0))
    }
    return {
        "outside_mean": outside.mean(axis=1),
        "outside_std": outside.std(axis=1),
        **corners,
        "rim_mean": rim.mean(axis=1),
        "rim_std": rim.std(axis=1),
        "rim_fall": within.mean(axis=1) - rim.mean(axis=1),
        "black_share": (seen[:, radius <= 1].max(axis=2) <= BLACK).mean(axis=1),
    }


def _colour(inner: NDArray[np.uint8]) -> dict[str, NDArray[np.floating]]:
    low, middle, high = np.percentile(inner, (25, 50, 75), axis=1)
    names = COLOUR[:3]
    red = np.maximum(middle[:, 0], 1)
    return {
        **{name: middle[:, channel] for channel, name in enumerate(names)},
        **{f"{name}_spread": (high - low)[:, channel] for channel, name in enumerate(names)},
        "green_to_red": middle[:, 1] / red,
        "blue_to_red": middle[:, 2] / red,
    }
