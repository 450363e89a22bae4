"""How well a landmark network does on squares whose parts are known, as they are."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.evidence import SURE, confidence
from fundus_ml.imaging.regions.finding import Candidates, look_for_candidates
from fundus_ml.imaging.regions.landmark_network import SIZE, LandmarkNetwork
from fundus_ml.imaging.regions.structures import Ellipse, ellipse_of_moments, stretched
from fundus_ml.region_training.calibration import Weights, overlap
from fundus_ml.region_training.examples import EXAMPLE_SIZE, Examples

HALF = 0.5
"""Disc diameters within which a fovea counts as found."""


def border_scales(
    network: LandmarkNetwork, marked: Examples, painted: Examples
) -> dict[str, float]:
    """Measure by which factors the ellipses of disc and cup are too small or too large.

    Args:
        network: Trained on other eyes.
        marked: Photographs kept for this.
        painted: Painted eyes kept for this; they alone have cups.

    Returns:
        ``disc`` and ``cup``: median of the true diameter over the one found; 1 where none is.
    """
    ratios: dict[str, list[float]] = {"disc": [], "cup": []}
    for examples in (marked, painted):
        for _, seen, disc, cup in _seen(network, examples):
            for part, found, true in (
                ("disc", seen.found.disc, disc),
                ("cup", seen.found.cup, cup),
            ):
                if found and true and overlap(found, true) >= HALF:
                    ratios[part].append(true.diameter / found.diameter)
    return {part: float(np.median(values or [1.0])) for part, values in ratios.items()}


def measured(
    network: LandmarkNetwork, weights: Weights, scales: Mapping[str, float], examples: Examples
) -> dict[str, float]:
    """Measure what is found, sure or not, and how often disc and fovea are sure.

    Args:
        network: Any.
        weights: Weights of the confidences.
        scales: From :func:`border_scales`.
        examples: Eyes.

    Returns:
        Means of ``disc_in_box``, ``disc_overlap``, ``cup_overlap``, ``fovea_near``, as far as
        anything is marked, and of ``disc_sure`` and ``fovea_sure``.
    """
    rows: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(float(value))

    for place, seen, disc, cup in _seen(network, examples):
        found = seen.found
        for part in ("disc", "fovea"):
            evidence = seen.evidence.get(part)
            sure = evidence is not None and confidence(weights[part], evidence) >= SURE[part]
            note(f"{part}_sure", sure)
        if disc is None:
            continue
        ours = _scaled(found.disc, scales["disc"])
        note("disc_in_box", ours is not None and _in_box(ours, disc))
        note("disc_overlap", overlap(ours, disc) if ours else 0.0)
        if cup is not None:
            inner = _scaled(found.cup, scales["cup"])
            note("cup_overlap", overlap(inner, cup) if inner else 0.0)
        point = (examples.fovea[place] + 0.5) * (SIZE / EXAMPLE_SIZE) - 0.5
        if np.isfinite(point).all():
            off = float(np.hypot(found.fovea.x - point[0], found.fovea.y - point[1]))
            note("fovea_near", off <= HALF * disc.diameter)
    return {name: float(np.mean(values)) for name, values in rows.items()}


def _seen(
    network: LandmarkNetwork, examples: Examples
) -> Iterator[tuple[int, Candidates, Ellipse | None, Ellipse | None]]:
    """What is found on each square, and its true disc and cup."""
    for place in range(len(examples)):
        square = cv2.resize(examples.pixels[place], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        seen = look_for_candidates(np.asarray(square, np.uint8), network)
        yield (
            place,
            seen,
            _in_network_pixels(examples.disc[place]),
            _in_network_pixels(examples.cup[place]),
        )


def _scaled(ellipse: Ellipse | None, scale: float) -> Ellipse | None:
    return stretched(ellipse, scale, scale) if ellipse else None


def _in_box(found: Ellipse, disc: Ellipse) -> bool:
    across, down = abs(found.x - disc.x), abs(found.y - disc.y)
    return across <= disc.horizontal / 2 and down <= disc.vertical / 2


def _in_network_pixels(numbers: NDArray[np.float64]) -> Ellipse | None:
    """An ellipse of the examples' pixels on the square that the network reads."""
    whole = ellipse_of_moments(numbers)
    return None if whole is None else whole.scaled(SIZE / EXAMPLE_SIZE)
