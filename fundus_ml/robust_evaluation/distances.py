"""How small a change flips an eye: the curve over all eyes, and the median of each sex."""

import numpy as np
import pandas as pd

from fundus_ml.data.manifest import SEXES
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_mean, clustered_median

CURVE_POINTS = 41
"""Budgets at which the curve is read, evenly from 0 to the largest distance that was found."""


def flip_curve(
    probes: pd.DataFrame, *, resamples: int, seed: int, classes: tuple[str, str] = SEXES
) -> pd.DataFrame:
    """Share of the eyes of each sex that some change of at most ``eps`` flips.

    Args:
        probes: ``person_group label min_norm``, one row per eye.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
        classes: Names of label 0 and 1.

    Returns:
        ``class eps share low high``. At 0 stand the eyes named wrongly unchanged. Where the search
        missed a smaller change the share is too low, never too high.
    """
    finite = probes["min_norm"][np.isfinite(probes["min_norm"])]
    grid = np.linspace(0, float(finite.max()) if len(finite) else 0.0, CURVE_POINTS)
    rows = []
    for name, eyes in _of_each_class(probes, classes).items():
        for eps in np.unique(grid):
            share = clustered_mean(
                eyes["min_norm"] <= eps, eyes["person_group"], resamples=resamples, seed=seed
            )
            rows.append(
                {
                    "class": name,
                    "eps": float(eps),
                    "share": share.value,
                    "low": share.low,
                    "high": share.high,
                }
            )
    return pd.DataFrame(rows)


def median_distances(
    probes: pd.DataFrame, *, resamples: int, seed: int, classes: tuple[str, str] = SEXES
) -> dict[str, Interval]:
    """Median over the eyes of each class of the smallest change that flips them.

    Args:
        probes: ``person_group label min_norm``.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
        classes: Names of label 0 and 1.

    Returns:
        By class; inf where more than half of the eyes were never flipped.
    """
    return {
        name: clustered_median(
            eyes["min_norm"], eyes["person_group"], resamples=resamples, seed=seed
        )
        for name, eyes in _of_each_class(probes, classes).items()
    }


def _of_each_class(probes: pd.DataFrame, classes: tuple[str, str]) -> dict[str, pd.DataFrame]:
    parts = {name: probes[probes["label"] == label] for label, name in enumerate(classes)}
    return {name: eyes for name, eyes in parts.items() if len(eyes)}
