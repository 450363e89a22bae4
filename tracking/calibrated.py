"""Logits as the versions that gave them read them: with their temperature and threshold."""

import numpy as np
import pandas as pd
from scipy.special import expit

from tracking.errors import TrackingError
from tracking.registry import find_version

CALIBRATION = ("temperature", "threshold")
"""Tags of a version that say how to read its logits."""
_VERSION = ["model_name", "model_version", "model_id"]


def with_calibration(rows: pd.DataFrame) -> pd.DataFrame:
    """Add what each version makes of its logits, as it answers photographs.

    Args:
        rows: Columns ``model_name model_version model_id logit``, and others.

    Returns:
        The rows, with ``prob_calibrated``, the sigmoid of ``logit / temperature``, and ``called``,
        1 where the logit is above the threshold, else 0. Both are empty where a version carries no
        calibration or is not in the registry any more.

    Raises:
        TrackingError: A version carries one that is no number.

    Source:
        Guo et al. 2017, arXiv:1706.04599 (temperature).
    """
    versions = rows[_VERSION].drop_duplicates()
    read = [_calibration(*version) for version in versions.itertuples(index=False)]
    known = versions.assign(
        **{name: [pair[place] for pair in read] for place, name in enumerate(CALIBRATION)}
    )
    numbers = rows[_VERSION].merge(known, on=_VERSION, how="left")
    temperature, threshold = (numbers[name].to_numpy(np.float64) for name in CALIBRATION)
    logit = rows["logit"].to_numpy(np.float64)
    called = pd.Series(logit > threshold, index=rows.index, dtype="Int64")
    return rows.assign(
        prob_calibrated=expit(logit / temperature), called=called.mask(np.isnan(threshold))
    )


def _calibration(name: str, number: int, model_id: str) -> tuple[float, float]:
    version = find_version(f"models:/{name}/{number}")
    if version is None or version.model_id != model_id:
        return np.nan, np.nan
    try:
        temperature, threshold = (float(version.tags.get(tag, "nan")) for tag in CALIBRATION)
    except ValueError as error:
        raise TrackingError(f"{version.uri}: its calibration is damaged: {error}") from None
    return temperature, threshold
