"""How well biomarkers alone tell two groups apart, beside a network on the same eyes."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Floats, Interval
from fundus_ml.statistics.clustered import clustered_auroc, paired_auroc_difference
from fundus_ml.statistics.ranking import same_length

FOLDS = 5
"""Parts into which people are cut: each is scored by a model that saw none of its people."""

BIOMARKERS, NETWORK, BOTH = "biomarkers", "network", "both"


def out_of_fold(
    values: pd.DataFrame, labels: ArrayLike, groups: ArrayLike, *, seed: int = 0
) -> Floats:
    """Score every eye by a logistic regression on other people's biomarkers.

    Args:
        values: ``(n, columns)`` numbers, NaN where one abstained: the median stands in, and that
            it is missing is a column of its own.
        labels: ``(n,)`` 0 or 1.
        groups: ``(n,)`` person of each eye, who stands in one fold alone.
        seed: Seed of the folds.

    Returns:
        ``(n,)`` logits of class 1.

    Raises:
        InputError: Lengths differ, or a class has fewer people than there are folds.
    """
    truth, people = np.asarray(labels).astype(int), np.asarray(groups)
    same_length(values=len(values), labels=len(truth), groups=len(people))
    check_folds(truth, people)
    matrix = values.to_numpy(np.float64)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    logits = np.full(len(truth), np.nan)
    for train, test in folds.split(matrix, truth, people):
        model = _model().fit(matrix[train], truth[train])
        logits[test] = model.decision_function(matrix[test])
    return logits


def check_folds(labels: ArrayLike, groups: ArrayLike) -> None:
    """Refuse eyes among whom too few people are of one class.

    Args:
        labels: ``(n,)`` 0 or 1.
        groups: ``(n,)`` person of each eye.

    Raises:
        InputError: A class has fewer people than there are folds.
    """
    truth, people = np.asarray(labels), np.asarray(groups)
    fewest = min(len(np.unique(people[truth == label])) for label in (0, 1))
    if fewest < FOLDS:
        raise InputError(f"labels: {fewest} people of one class, {FOLDS} are needed for the folds")


def compare_with_network(
    values: pd.DataFrame,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    network: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Set biomarkers beside a network, and ask what each adds to the other.

    Args:
        values: As :func:`out_of_fold` takes them.
        labels: ``(n,)`` 0 or 1.
        groups: ``(n,)`` person of each eye.
        network: ``(n,)`` logits, NaN for eyes that it is not compared on, such as those that it
            learned from; the regression learns from these too. None leaves the biomarkers alone.
        resamples: Bootstrap samples of people.
        seed: Seed of folds and bootstrap.

    Returns:
        One row for ``biomarkers``, ``network`` and ``both`` (a regression on the two logits), on
        the same eyes: AUROC out of fold with its interval over people, and ``difference``, the
        network's less this one's, resampled together.

    Raises:
        InputError: As :func:`out_of_fold` and
            :func:`~fundus_ml.statistics.clustered.clustered_auroc`.
    """
    truth, people = np.asarray(labels).astype(int), np.asarray(groups)
    alone = out_of_fold(values, truth, people, seed=seed)
    scores = {BIOMARKERS: alone}
    if network is not None:
        logits = np.asarray(network, np.float64)
        same_length(values=len(values), network=len(logits))
        shown = np.isfinite(logits)
        truth, people, alone, logits = truth[shown], people[shown], alone[shown], logits[shown]
        pair = pd.DataFrame({BIOMARKERS: alone, NETWORK: logits})
        both = out_of_fold(pair, truth, people, seed=seed)
        scores = {BIOMARKERS: alone, NETWORK: logits, BOTH: both}
    rows = []
    for scorer, given in scores.items():
        own = clustered_auroc(truth, given, people, resamples=resamples, seed=seed)
        apart = Interval(np.nan, np.nan, np.nan)
        if scorer != NETWORK and NETWORK in scores:
            apart = paired_auroc_difference(
                truth, scores[NETWORK], given, people, resamples=resamples, seed=seed
            )
        row = {"scorer": scorer, "eyes": len(truth), "people": len(np.unique(people))}
        rows.append(row | own.columns("auroc") | apart.columns("difference"))
    return pd.DataFrame(rows)


def _model() -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=2000),
    )
