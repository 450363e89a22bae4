"""Gradient-boosted trees that have not seen the person they score."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from fundus_ml.parallel import one_thread

Floats = NDArray[np.float64]

SMALL_STEPS: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 0.1, "max_iter": 50, "max_leaf_nodes": 8, "early_stopping": False}
)
"""Fixed settings of every boosting: small trees, slow steps, for a few thousand people and weak
effects."""


def out_of_fold_trees(
    columns: Floats, labels: NDArray[np.bool_], folds: list[NDArray[np.bool_]], *, seed: int
) -> Floats:
    """Score every row by boosted trees that were fitted without its fold.

    Trees find interactions, such as an age effect in one camera only, that a sum over columns
    misses. The settings are fixed.

    Args:
        columns: ``(n, q)`` numbers as measured, NaN where unknown.
        labels: ``(n,)`` bool.
        folds: ``(n,)`` masks of the rows held out, each row in one of them.
        seed: Seed of the trees.

    Returns:
        ``(n,)`` logits; a fold whose training rows hold one class only gets 0.

    Source:
        Friedman 2001, Greedy function approximation: a gradient boosting machine, Annals of
        Statistics 29(5); scikit-learn's histogram version.
    """
    logits = np.zeros(len(labels))
    if not columns.shape[1]:
        return logits
    for held_out in folds:
        learned, known = labels[~held_out], known_somewhere(columns[~held_out])
        if learned.all() or not learned.any() or not known.any():
            continue
        trees = HistGradientBoostingClassifier(
            **SMALL_STEPS, min_samples_leaf=20, l2_regularization=1.0, random_state=seed
        )
        with one_thread():
            trees.fit(columns[np.ix_(~held_out, known)], learned)
            logits[held_out] = trees.decision_function(columns[np.ix_(held_out, known)])
    return logits


def known_somewhere(columns: Floats) -> NDArray[np.bool_]:
    """Which of ``(n, q)`` columns have a number; scikit-learn's trees fail on one without."""
    return np.asarray(~np.isnan(columns).all(axis=0))
