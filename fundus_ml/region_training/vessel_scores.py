"""How well a vessel network agrees with an observer's marks, at the photograph's own resolution."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.vessel_network import VesselNetwork, VesselWeights
from fundus_ml.imaging.regions.vessels import vessel_probability
from fundus_ml.region_training.vessel_marks import Mask, TracedEye, inside
from fundus_ml.statistics.clustered import auroc

THRESHOLDS = np.arange(0.2, 0.81, 0.02).round(2)
"""Those tried."""

ANGLES = (1.0, 1.5, 1 / 1.5)
"""Fields, in the field of the photograph, under which a threshold is tried: 30 to 45 degrees."""


class VesselScores(NamedTuple):
    """Agreement on one photograph, inside the field of view; each from 0 to 1.

    Attributes:
        dice: Twice the pixels both call vessel over the sum of what each does.
        sensitivity: Share of the vessel pixels found.
        specificity: Share of the other pixels left out.
    """

    dice: float
    sensitivity: float
    specificity: float


def vessel_scores(found: Mask, marked: Mask, counted: Mask) -> VesselScores:
    """Compare two masks, ``(H, W)`` each, where ``counted``."""
    ours, theirs = found[counted], marked[counted]
    both = float((ours & theirs).sum())
    neither = float((~ours & ~theirs).sum())
    return VesselScores(
        dice=2 * both / max(float(ours.sum() + theirs.sum()), 1.0),
        sensitivity=both / max(float(theirs.sum()), 1.0),
        specificity=neither / max(float((~theirs).sum()), 1.0),
    )


def vessel_auroc(probability: NDArray[np.float32], eye: TracedEye) -> float:
    """Chance that a vessel pixel of a photograph scores above another one."""
    return auroc(eye.vessels[eye.counted], probability[eye.counted])


def choose_threshold(network: VesselNetwork, eyes: Sequence[TracedEye]) -> float:
    """Find the probability from which on a pixel is best called vessel, whatever the field's angle.

    Args:
        network: Trained.
        eyes: Such as were kept out of its training.

    Returns:
        The one of :data:`THRESHOLDS` with the best mean Dice over these eyes and their views under
        :data:`ANGLES`.

    Raises:
        InputError: There are no eyes.
    """
    if not eyes:
        raise InputError("eyes=0: a threshold needs marked eyes to be chosen on")
    weights = VesselWeights(network, 0.5)
    dice = np.zeros(len(THRESHOLDS))
    for eye in eyes:
        for angle in ANGLES:
            view = under_angle(eye, angle)
            probability = vessel_probability(view.image, view.field, weights=weights)
            dice += _dice_from(probability[view.counted], view.vessels[view.counted])
    return float(THRESHOLDS[int(np.argmax(dice))])


def under_angle(eye: TracedEye, times: float) -> TracedEye:
    """Show an eye as a camera of another field would: less of it, or more black around it."""
    field = replace(eye.field, radius=eye.field.radius * times, cut=(), cuts=())
    kept = inside(field, eye.counted.shape) & inside(eye.field, eye.counted.shape)
    image = eye.image * kept[..., None].astype(np.uint8)
    return eye._replace(image=image, field=field, counted=eye.counted & kept)


def _dice_from(probability: NDArray[np.float32], marked: Mask) -> NDArray[np.float64]:
    """Dice at each of :data:`THRESHOLDS`, all in one pass."""
    cell = np.searchsorted(THRESHOLDS.astype(np.float32), probability, side="right")
    cells = len(THRESHOLDS) + 1
    found, right = (
        np.bincount(cell[chosen], minlength=cells)[::-1].cumsum()[::-1][1:]
        for chosen in (slice(None), marked)
    )
    return np.asarray(2 * right / np.maximum(found + marked.sum(), 1))
