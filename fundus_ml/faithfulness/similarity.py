"""How alike two maps of one image are: rank correlation and structural similarity."""

import numpy as np
import skimage.metrics
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from fundus_ml.errors import InputError

WINDOW = 7
"""Side of the window of the structural similarity, pixels."""


def rank_correlation(maps: Tensor, others: Tensor) -> NDArray[np.float64]:
    """Spearman correlation of the pixels of each map with those of its counterpart.

    Args:
        maps: ``(N, H, W)``.
        others: ``(N, H, W)``.

    Returns:
        ``(N,)`` in [-1, 1], ties counting their mean rank; NaN where one of both is constant.
    """
    found = np.full(len(maps), np.nan)
    for place, pair in enumerate(zip(_arrays(maps), _arrays(others), strict=True)):
        if all(np.ptp(values) > 0 for values in pair):
            found[place] = spearmanr(*(values.ravel() for values in pair)).statistic
    return found


def structural_similarity(maps: Tensor, others: Tensor) -> NDArray[np.float64]:
    """Mean structural similarity of two maps, each divided by its largest value first.

    Args:
        maps: ``(N, H, W)``, 0 or more; H and W at least :data:`WINDOW`.
        others: ``(N, H, W)``, 0 or more.

    Returns:
        ``(N,)`` at most 1, over windows that lie inside; NaN where one of both is all 0.

    Raises:
        InputError: The maps are smaller than the window.

    Source:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    if min(maps.shape[1:]) < WINDOW:
        raise InputError(
            f"maps: {maps.shape[1]} x {maps.shape[2]} pixels; the structural similarity needs "
            f"{WINDOW} x {WINDOW}"
        )
    found = np.full(len(maps), np.nan)
    for place, pair in enumerate(zip(_arrays(maps), _arrays(others), strict=True)):
        if all(values.max() > 0 for values in pair):
            scaled = (values / values.max() for values in pair)
            found[place] = skimage.metrics.structural_similarity(  # type: ignore[no-untyped-call]
                *scaled, win_size=WINDOW, data_range=1.0
            )
    return found


def _arrays(maps: Tensor) -> NDArray[np.float64]:
    return maps.detach().cpu().double().numpy()
