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

Evidence = dict[str, float]

DIAMETERS = (0.15, 0.22)
"""Diameter of a disc over that of the field: typical, and the standard deviation of its
logarithm, for fields of 30 to 55 degrees."""
UNLIKELY = 9.0
"""Squared standard deviations at which geometry speaks wholly against a part."""
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
    distance = 0.0
    if disc:
        across, down = abs(fovea.x - disc.x), fovea.y - disc.y
        away = math.hypot(across, down)
        far = (away / diameter - DISTANCE[0]) / DISTANCE[1]
        drop = (down / (away + 1e-6) - DROP[0]) / DROP[1]
        distance = -min(far**2 + drop**2, UNLIKELY) / UNLIKELY
    return {
        "mass": log_odds(found.fovea_mass),
        "distance": distance,
        "agreement": math.exp(-((apart / AGREEING) ** 2) / 2),
    }


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
