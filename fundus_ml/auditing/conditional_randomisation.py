"""Does a shortcut predict the label beyond the named ones? Labels drawn from P(label | named)."""

from collections.abc import Sequence
from itertools import combinations
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV

from fundus_ml.auditing.boosted_trees import out_of_fold_trees
from fundus_ml.auditing.columns import Shortcut
from fundus_ml.auditing.permutation import column_aurocs, grouped_folds, labelled_people

PENALTIES = tuple(np.logspace(-3, 4, 8))
"""Ridge penalties among which leave-one-out error chooses, for each column of its own."""
PRODUCTS_OF = 8
"""Principal components of each named shortcut whose products with the others' are regressors."""
UNEXPLAINED = 0.01
"""Share of a column's variance added to every direction of the residuals: what is left of a column
that the named shortcuts determine is rounding, and must not count like a measurement."""
LEAST_PROB = 0.01
"""Bound of every fitted probability: where the named shortcuts seem to settle the label, one person
against them must not count as proof of another shortcut."""

Floats = NDArray[np.float64]


class ConditionalLabels:
    """Labels of people, drawn anew from their probability given the named shortcuts.

    The unit is a person under one label, whose rows are averaged. The probability comes from
    boosted trees and a logistic regression on splines and products of the named shortcuts, both
    fitted without the person, and a logistic regression of the labels on their two logits. A
    shortcut is reduced to what a ridge regression on the named ones, fitted without the person,
    leaves of its columns. A false alarm then needs both fits to be wrong in the same direction:
    their errors multiply.

    Args:
        labels: ``(n,)``, 0 or 1.
        groups: ``(n,)`` person of each row.
        named: Shortcuts given, one or more.
        draws: Number of draws.
        seed: Seed of folds, trees and draws.

    Attributes:
        prob: ``(units,)`` P(label 1 | named).
        drawn: ``(units, draws)`` bool.

    Source:
        Candès, Fan, Janson & Lv 2018, Panning for gold, J. R. Stat. Soc. B 80(3) (conditional
        randomisation); Liu, Katsevich, Janson & Ramdas 2022, Fast and powerful conditional
        randomization testing via distillation, Biometrika 109(2); why two fits protect each other:
        Shah & Peters 2020, The hardness of conditional independence testing, Ann. Stat. 48(3).
        Here labels are drawn where those draw the variable tested.
    """

    def __init__(
        self,
        labels: ArrayLike,
        groups: ArrayLike,
        named: Sequence[Shortcut],
        *,
        draws: int,
        seed: int,
    ) -> None:
        people = labelled_people(labels, groups)
        self._unit, self._labels = people.unit, people.labels
        self._folds = grouped_folds(people.person, np.zeros(len(people.person)), seed=seed)
        columns = np.hstack([self._averaged(shortcut.columns) for shortcut in named])
        self._given = _with_products([self._averaged(shortcut.design) for shortcut in named])
        trees = out_of_fold_trees(columns, self._labels, self._folds, seed=seed)
        smooth = _out_of_fold_logistic(self._given, self._labels, self._folds)
        self.prob = recalibrated(np.column_stack([trees, smooth]), self._labels)
        uniform = np.random.default_rng(seed).random((len(self.prob), draws))
        self.drawn = uniform < self.prob[:, None]

    def statistic(self, design: Floats) -> tuple[float, Floats]:
        """Measure how far labels and a shortcut go together beyond the named ones.

        Args:
            design: ``(n, p)`` standardised columns of the shortcut.

        Returns:
            The statistic of the true labels and, ``(draws,)``, of the drawn ones: the cube root of
            a ridge-regularised score statistic, nearly normal whatever the number of columns
            (Wilson & Hilferty 1931), so that shortcuts of many and of few columns compare.
        """
        residuals = self._residuals(self._averaged(design))
        spread = self.prob * (1 - self.prob)
        covariance = residuals.T @ (spread[:, None] * residuals)
        covariance[np.diag_indices_from(covariance)] += UNEXPLAINED * spread.sum()
        values, vectors = np.linalg.eigh(covariance)
        whitened = residuals @ (vectors / np.sqrt(values))
        true = ((self._labels - self.prob) @ whitened) ** 2
        # Few rows at a time would be slower: (draws, p) is small beside (units, draws).
        drawn = (self.drawn.T.astype(np.float64) @ whitened - self.prob @ whitened) ** 2
        return float(np.cbrt(true.sum())), cast("Floats", np.cbrt(drawn.sum(axis=1)))

    def explained_auroc(self, scores: Floats) -> float:
        """Mean AUROC of a shortcut's scores for the drawn labels: what the named ones explain.

        Args:
            scores: ``(n,)`` out of fold, for the true labels.
        """
        both = self.drawn.any(axis=0) & ~self.drawn.all(axis=0)
        if not both.any():
            return 0.5
        labels = self.drawn[:, both][self._unit]
        return float(column_aurocs(labels, np.repeat(scores[:, None], both.sum(), axis=1)).mean())

    def _averaged(self, columns: Floats) -> Floats:
        return cast("Floats", pd.DataFrame(columns).groupby(self._unit).mean().to_numpy())

    def _residuals(self, columns: Floats) -> Floats:
        left = np.empty_like(columns)
        for held_out in self._folds:
            ridge = RidgeCV(alphas=PENALTIES, alpha_per_target=True)
            ridge.fit(self._given[~held_out], columns[~held_out])
            predicted = ridge.predict(self._given[held_out])
            left[held_out] = columns[held_out] - predicted.reshape(-1, columns.shape[1])
        return left


def recalibrated(logits: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Probabilities by a logistic regression of the labels on out-of-fold logits (stacking).

    Args:
        logits: ``(n, models)``.
        labels: ``(n,)`` bool, both values.

    Returns:
        ``(n,)`` from 0.01 to 0.99, whose mean is near that of the labels.
    """
    fitted = LogisticRegression().fit(logits, labels)
    prob = fitted.predict_proba(logits)[:, 1]
    return cast("Floats", prob.clip(LEAST_PROB, 1 - LEAST_PROB))


def _out_of_fold_logistic(
    design: Floats, labels: NDArray[np.bool_], folds: list[NDArray[np.bool_]]
) -> Floats:
    logits = np.zeros(len(labels))
    for held_out in folds:
        learned = labels[~held_out]
        if learned.any() and not learned.all():
            fitted = LogisticRegression(max_iter=1000).fit(design[~held_out], learned)
            logits[held_out] = fitted.decision_function(design[held_out])
    return logits


def _with_products(designs: list[Floats]) -> Floats:
    """Put named shortcuts side by side, with the products of their leading components."""
    leading = [_leading(design) for design in designs]
    products = [
        (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
        for first, second in combinations(leading, 2)
    ]
    return np.hstack([*designs, *products])


def _leading(design: Floats) -> Floats:
    centred = design - design.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = values > 1e-6 * max(values.max(initial=0.0), 1e-12)
    order = np.flatnonzero(kept)[::-1][:PRODUCTS_OF]
    return cast("Floats", centred @ (vectors[:, order] / np.sqrt(values[order])))
