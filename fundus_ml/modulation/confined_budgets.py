"""Minimal perturbations confined to a region, per value of it, beside those of its sham."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.imaging.regions.shams import SHAM
from fundus_ml.statistics.clustered import clustered_median

CHANNELS = 3
CONFINED_COLUMNS = (
    "condition",
    "region",
    "eyes",
    "values",
    "rms",
    "rms_low",
    "rms_high",
    "over_sham",
    "over_sham_low",
    "over_sham_high",
)


def confined_table(
    min_norms: Mapping[str, Mapping[str, NDArray[np.float64]]],
    allowed: Mapping[str, NDArray[np.bool_]],
    eyes: pd.DataFrame,
    *,
    constraint: str,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compare what flips the eyes where only one region may change, at equal RMS per value.

    A large region needs a smaller change per value for the same norm, so norms of regions of
    different areas are not comparable: the L2 norm is divided by the root of the number of values
    that may change, ``linf`` is per value as it is.

    Args:
        min_norms: By condition and region, ``(N,)`` minimal perturbation norms; inf where nothing
            flips the eye, 0 where it looks like the target as it is, NaN where it has no region.
        allowed: By region, ``(N, H, W)`` where each eye may change; regions without are left out.
        eyes: Manifest rows of the N eyes.
        constraint: ``l2`` or ``linf``.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per condition and region: ``condition region eyes values rms rms_low rms_high`` in
        units of [0, 1], the median over eyes (inf counts as larger than any number), ``values`` the
        median number of values that may change; ``over_sham`` with its interval, the median over
        eyes of the region's rms over its sham's, below 1 where the region needs less, 1 where
        neither flips the eye, NaN where no sham was searched.
    """
    people = eyes["person_group"].to_numpy()
    values = {name: CHANNELS * mask.sum(axis=(1, 2)) for name, mask in allowed.items()}
    rows = []
    for condition, by_region in min_norms.items():
        rms = {
            name: _per_value(norms, values[name], constraint)
            for name, norms in by_region.items()
            if name in values
        }
        for region, found in rms.items():
            asked = ~np.isnan(found)
            if not asked.any():
                continue
            median = clustered_median(found[asked], people[asked], resamples=resamples, seed=seed)
            row = {
                "condition": condition,
                "region": region,
                "eyes": int(asked.sum()),
                "values": float(np.median(values[region][asked])),
                **median.columns("rms"),
            }
            ratio = _ratio(found, rms[SHAM + region]) if SHAM + region in rms else np.array([])
            both = ~np.isnan(ratio)
            if both.any():
                beside = clustered_median(ratio[both], people[both], resamples=resamples, seed=seed)
                row |= beside.columns("over_sham")
            rows.append(row)
    return pd.DataFrame(rows, columns=list(CONFINED_COLUMNS))


def _per_value(
    norms: NDArray[np.float64], values: NDArray[np.int_], constraint: str
) -> NDArray[np.float64]:
    """Root mean square over the values that may change; NaN for eyes that nobody asks about."""
    asked = norms > 0
    scale = np.sqrt(np.maximum(values, 1)) if constraint == "l2" else np.ones(len(norms))
    return np.where(asked, norms / scale, np.nan)


def _ratio(own: NDArray[np.float64], sham: NDArray[np.float64]) -> NDArray[np.float64]:
    """Own over sham; 1 where neither flips the eye."""
    neither = np.isinf(own) & np.isinf(sham)
    with np.errstate(invalid="ignore"):
        return np.where(neither, 1.0, own / sham)
