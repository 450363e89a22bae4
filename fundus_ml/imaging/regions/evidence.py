"""What speaks for each part that the network found, as numbers, and how sure that makes it.

A logistic regression per part, fitted on photographs that the network did not learn from, turns
evidence into the probability that the part is where it is said to be.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from fundus_ml.imaging.regions.classical import DISTANCE, DROP, ClassicalEye
from fundus_ml.imaging.regions.landmark_network import SIZE
from fundus_ml.imaging.regions.landmarks import TYPICAL_DISC, FoundLandmarks
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality
from fundus_ml.imaging.regions.trained import read_trained

Evidence = dict[str, float]

DIAMETERS = (0.15, 0.22)
"""Diameter of a disc over that of the field: typical, and the standard deviation of its
logarithm, for fields of 30 to 55 degrees."""
UNLIKELY = 9.0
"""Squared standard deviations at which geometry speaks wholly against a part."""
SURE: Mapping[str, float] = {"disc": 0.8, "cup": 0.5, "fovea": 0.7, "eye": 0.9}
"""Confidence below which a part is None."""
IMPLAUSIBLE = "disc and fovea lie at an implausible distance or height"
"""What is said of the less sure one."""
UNPLACED = -1.0
"""Plausibility of a fovea that cannot belong to a disc."""
FARTHEST = 6.0
"""Largest log odds either way."""
AGREEING = 0.5
"""Disc diameters between two detectors' foveas at which they agree but moderately."""

EVIDENCE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "disc": ("centre", "flips", "support", "shape"),
        "cup": ("solid",),
        "fovea": ("mass", "distance", "agreement"),
        "eye": ("fovea", "darkness", "place", "leaning"),
    }
)
"""Names of the evidence for each part."""
WEAKNESS: Mapping[str, str] = MappingProxyType(
    {
        "centre": "the network sees no one place for it",
        "flips": "the network sees another one on the mirror image",
        "support": "brightness and vessels point elsewhere",
        "shape": "its size or shape is unlike a disc's",
        "mass": "the network sees no one place for it",
        "distance": "its distance from the disc is unlike a fovea's",
        "agreement": "the darkest place beside the disc is another",
        "solid": "its border is unclear",
    }
)
"""What a piece of evidence says where it speaks against a part."""


def disc_evidence(found: FoundLandmarks, classical: ClassicalEye) -> Evidence:
    """Evidence for the disc; there must be one."""
    disc = found.disc
    assert disc is not None
    size = math.log(disc.diameter / (DIAMETERS[0] * SIZE)) / DIAMETERS[1]
    round_ = math.log(disc.height / disc.width) / DIAMETERS[1]
    return {
        "centre": log_odds(found.disc_mass),
        "flips": log_odds(found.flips),
        "support": classical.support(disc.x, disc.y),
        "shape": -min(size**2 + round_**2, UNLIKELY) / UNLIKELY,
    }


def fovea_evidence(found: FoundLandmarks, classical: ClassicalEye) -> Evidence:
    """Evidence for the fovea; its distance from the disc speaks where there is a disc."""
    disc, fovea = found.disc, found.fovea
    diameter = disc.diameter if disc else TYPICAL_DISC * SIZE
    apart = math.hypot(classical.fovea_x - fovea.x, classical.fovea_y - fovea.y) / diameter
    return {
        "mass": log_odds(found.fovea_mass),
        "distance": plausibility(disc, fovea) if disc else 0.0,
        "agreement": math.exp(-((apart / AGREEING) ** 2) / 2),
    }


def plausibility(disc: Ellipse, fovea: Landmark) -> float:
    """How usual distance and height of a fovea beside a disc are, :data:`UNPLACED` to 0."""
    across, down = abs(fovea.x - disc.x), fovea.y - disc.y
    away = math.hypot(across, down)
    far = (away / disc.diameter - DISTANCE[0]) / DISTANCE[1]
    drop = (down / (away + 1e-6) - DROP[0]) / DROP[1]
    return -min(far**2 + drop**2, UNLIKELY) / UNLIKELY


def cup_evidence(found: FoundLandmarks) -> Evidence:
    """Evidence for the cup."""
    return {"solid": log_odds(found.cup_solid)}


def side_evidence(found: FoundLandmarks, classical: ClassicalEye) -> Evidence:
    """Evidence for a right eye, above 0, or a left one; mirrored pictures give mirrored signs."""
    disc = found.disc
    assert disc is not None
    return {
        "fovea": -found.side,
        "darkness": float(np.sign(classical.x - classical.fovea_x)),
        "place": (disc.x - (SIZE - 1) / 2) / (SIZE / 2),
        "leaning": -classical.leaning,
    }


def log_odds(share: float) -> float:
    """Log odds of a probability, at most :data:`FARTHEST` either way."""
    odds = math.log((share + 1e-6) / (max(0.0, 1 - share) + 1e-6))
    return float(np.clip(odds, -FARTHEST, FARTHEST))


def confidence(weights: Mapping[str, float], evidence: Evidence) -> float:
    """Probability of a logistic regression: ``constant`` and a weight per name of evidence."""
    total = weights.get("constant", 0.0) + sum(weights[name] * evidence[name] for name in evidence)
    return 1 / (1 + math.exp(-float(np.clip(total, -30, 30))))


def weakest(weights: Mapping[str, float], evidence: Evidence) -> str:
    """Say which evidence lies farthest below that of eyes that were found."""
    usual = {name: weights.get(f"usual_{name}", 0.0) for name in evidence}
    short = {name: weights[name] * (usual[name] - evidence[name]) for name in evidence}
    return WEAKNESS[max(short, key=lambda name: short[name])]


def judge_side(
    weights: Mapping[str, float], evidence: dict[str, float], disagreement: str
) -> tuple[Laterality | None, str]:
    """Say which eye it is, where the evidence is sure enough.

    Args:
        weights: Weight of each evidence of the side, by name.
        evidence: Above 0 for a right eye, by name.
        disagreement: What it says where the evidence is not sure.

    Returns:
        The side and ``""``, or None and why.
    """
    right = confidence(weights, evidence)
    value = max(right, 1 - right)
    if value < SURE["eye"]:
        return None, f"{disagreement}: confidence {value:.2f}, {SURE['eye']} is needed"
    return Laterality(eye="right" if right > 0.5 else "left", confidence=value), ""  # noqa: PLR2004


def side_of_pair(disc: Ellipse, fovea: Landmark, *, size: int) -> tuple[Laterality | None, str]:
    """Decide which eye it is from a disc and a fovea alone, where both are known.

    Args:
        disc: On the square of a field of view.
        fovea: Likewise.
        size: Side of that square, pixels.

    Returns:
        The side, as sure as the weights of ``find_regions`` make what these two say of it, and
        ``""``; or None and why.
    """
    evidence = {
        "fovea": float(np.sign(disc.x - fovea.x)),
        "place": (disc.x - (size - 1) / 2) / (size / 2),
    }
    weights = read_trained("landmarks").card["confidence"]["eye"]
    return judge_side(weights, evidence, "the fovea and the disc's place in the field disagree")
