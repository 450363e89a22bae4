"""Turn evidence into probabilities: logistic regressions on eyes that the network has not seen."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fundus_ml.imaging.regions.evidence import EVIDENCE, Evidence
from fundus_ml.imaging.regions.finding import Candidates, look_for_candidates
from fundus_ml.imaging.regions.landmark_network import SIZE, LandmarkNetwork
from fundus_ml.imaging.regions.structures import Ellipse, ellipse_of_moments
from fundus_ml.region_training.examples import Examples
from fundus_ml.region_training.variation import Variation, Varied, no_eye, varied

PULL = 4.0
"""Strength with which the weights are pulled towards 1."""
LEAST = 0.3
"""Smallest weight of any evidence."""
OVERLAP = 0.5
"""Intersection over union from which on an ellipse is right."""
HARD = Variation(turn=15.0, scale=(0.75, 1.6), shift=0.18, strength=1.5, erased=0.1)
"""Ranges wider than those of the training, so that some eyes are lost."""

Weights = dict[str, dict[str, float]]


@dataclass
class PartEvidence:
    """Evidence for one part over many eyes, and whether the part was where it was said to be."""

    evidence: list[Evidence] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


def calibrate(
    network: LandmarkNetwork,
    marked: Examples,
    painted: Examples,
    *,
    variants: int,
    seed: int,
    on_variant: Callable[[int, int], None] | None = None,
) -> Weights:
    """Fit the confidence of every part.

    Args:
        network: Trained on other eyes.
        marked: Photographs kept for this.
        painted: Painted eyes kept for this; they alone have known cups.
        variants: Hard variants of each photograph, and a third as many of each painted eye.
        seed: Seed of the variants.
        on_variant: Told after each one.

    Returns:
        For each of ``disc``, ``cup``, ``fovea``, ``eye``: ``constant``, a weight per name of
        evidence, and its median over the eyes that were right as ``usual_<name>``.
    """
    judged = collect_evidence(
        network, hard_variants(marked, painted, variants, seed), on_variant=on_variant
    )
    return {part: fitted(one, part) for part, one in judged.items()}


def hard_variants(marked: Examples, painted: Examples, variants: int, seed: int) -> list[Varied]:
    """Draw them: badly lit, blurred, rotated, cut, without disc, and what is no eye."""
    draws = np.random.default_rng([seed, 1])
    found = [
        varied(marked, place, SIZE, HARD, draws)
        for place in range(len(marked))
        for _ in range(variants)
    ]
    found += [
        varied(painted, place, SIZE, HARD, draws)
        for place in range(len(painted))
        for _ in range(math.ceil(variants / 3))
    ]
    return found + [no_eye(SIZE, draws) for _ in range(len(found) // 20)]


def collect_evidence(
    network: LandmarkNetwork,
    eyes: list[Varied],
    *,
    on_variant: Callable[[int, int], None] | None = None,
) -> dict[str, PartEvidence]:
    """Find the parts of each and compare them with where they are."""
    judged = {part: PartEvidence() for part in EVIDENCE}
    for place, eye in enumerate(eyes, 1):
        pixels = np.rint(eye.pixels * 255).astype(np.uint8)
        seen = look_for_candidates(pixels, network)
        for part, right in _verdicts(seen, eye):
            judged[part].evidence.append(seen.evidence[part])
            judged[part].right.append(right)
        if on_variant:
            on_variant(place, len(eyes))
    return judged


def fitted(judged: PartEvidence, part: str) -> dict[str, float]:
    """Fit one logistic regression.

    Its weights are pulled towards 1 and stay above :data:`LEAST`: more of any evidence never
    speaks against a part, and implausible geometry always does. That of ``eye`` has no constant,
    so that the mirror image of an eye is the other eye, as surely.
    """
    names = EVIDENCE[part]
    table = np.array([[one[name] for name in names] for one in judged.evidence])
    table = table.reshape(-1, len(names))
    right = np.array(judged.right, bool)

    def loss(weights: NDArray[np.float64]) -> float:
        odds = weights[0] + table @ weights[1:]
        fit = np.logaddexp(0, np.where(right, -odds, odds)).sum()
        return float(fit + PULL / 2 * ((weights[1:] - 1) ** 2).sum() + 0.05 * weights[0] ** 2)

    bounds = [(0, 0) if part == "eye" else (-20, 20), *[(LEAST, 20)] * len(names)]
    start = np.array([0.0, *[1.0] * len(names)])
    best = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    usual = np.median(table[right], axis=0) if right.any() else np.zeros(len(names))
    medians = {f"usual_{name}": float(at) for name, at in zip(names, usual, strict=True)}
    return {
        "constant": float(best[0]),
        **dict(zip(names, map(float, best[1:]), strict=True)),
        **medians,
    }


def overlap(first: Ellipse, second: Ellipse, *, cells: int = 256) -> float:
    """Intersection over union of two ellipses, on a grid around both."""
    reach = 1.5 * max(first.diameter, second.diameter) + math.hypot(
        first.x - second.x, first.y - second.y
    )
    moved = (
        one.scaled(cells / (2 * reach), left=first.x - reach, top=first.y - reach).mask(
            (cells, cells)
        )
        for one in (first, second)
    )
    one, other = moved
    return float((one & other).sum() / max(1, (one | other).sum()))


def _verdicts(seen: Candidates, eye: Varied) -> Iterator[tuple[str, bool]]:
    found = seen.found
    truth = ellipse_of_moments(eye.disc)
    disc_known, fovea_known = (not np.isnan(part).any() for part in (eye.disc, eye.fovea))
    if disc_known and found.disc:
        yield "disc", truth is not None and overlap(found.disc, truth) >= OVERLAP
    if fovea_known:
        size = truth or found.disc
        reach = 0.5 * (size.diameter if size else 0.15 * SIZE)
        off = np.array([found.fovea.x, found.fovea.y]) - eye.fovea
        yield "fovea", bool(np.hypot(*off) <= reach)
    if truth and found.disc and fovea_known and np.isfinite(eye.fovea).all():
        # A right eye's disc lies right of its fovea.
        yield "eye", bool(truth.x > eye.fovea[0])
    if found.cup and truth and not np.isnan(eye.cup).any():
        cup = ellipse_of_moments(eye.cup)
        yield "cup", cup is not None and overlap(found.cup, cup) >= OVERLAP
