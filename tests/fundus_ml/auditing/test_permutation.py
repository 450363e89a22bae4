"""Grouped cross-validation and its null: people stay whole, strata are kept, sums agree."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from fundus_ml.auditing import permutation
from fundus_ml.auditing.permutation import (
    FOLDS,
    column_aurocs,
    family_p_values,
    grouped_folds,
    null_aurocs,
    out_of_fold,
    shuffle_between_people,
)

PEOPLE = 60


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def person():
    """One eye of every third person, two of the others."""
    return np.repeat(np.arange(PEOPLE), np.where(np.arange(PEOPLE) % 3, 2, 1))


@pytest.fixture
def labels(person, rng):
    return (rng.random(PEOPLE) < 0.5)[person].astype(int)


def test_folds_hold_each_row_once_and_people_whole(person):
    folds = grouped_folds(person, np.where(person < 20, "a", "b"), seed=0)
    assert len(folds) == FOLDS
    assert (np.sum(folds, axis=0) == 1).all()
    for held_out in folds:
        assert not set(person[held_out]) & set(person[~held_out])
        assert (person[held_out] < 20).any()


def test_folds_bear_a_source_smaller_than_their_number(person):
    folds = grouped_folds(person, np.where(person == 0, "rare", "common"), seed=0)
    assert (np.sum(folds, axis=0) == 1).all()


def test_scores_are_those_of_a_ridge_that_has_not_seen_the_person(person, labels, rng):
    """The intercept apart, which is the same for all held-out rows of a fold."""
    design = rng.standard_normal((len(person), 4))
    folds = grouped_folds(person, np.zeros(len(person)), seed=1)
    scores = out_of_fold(design, labels[:, None].astype(float), folds)[:, 0]
    for held_out in folds:
        ridge = Ridge(alpha=4, solver="svd").fit(design[~held_out], labels[~held_out])
        expected = ridge.predict(design[held_out]) - labels[~held_out].mean()
        np.testing.assert_allclose(scores[held_out], expected, atol=1e-8)


def test_aurocs_of_columns_are_those_of_sklearn_with_ties(rng):
    labels = rng.random((41, 7)) < 0.4
    scores = rng.integers(5, size=(41, 7)).astype(float)
    scores[:, 0] = 1.0
    expected = [roc_auc_score(labels[:, k], scores[:, k]) for k in range(7)]
    np.testing.assert_allclose(column_aurocs(labels, scores), expected, rtol=1e-12)


def test_shuffles_keep_people_whole_and_every_label(person, labels):
    shuffles = shuffle_between_people(labels, person, permutations=30, seed=0)
    rows = shuffles.labels[shuffles.unit]
    first = np.unique(person, return_index=True)[1]
    for column in rows.T:
        assert all(len(set(column[person == one])) == 1 for one in range(PEOPLE))
        assert column[first].sum() == labels[first].sum()
    assert (rows != rows[:, :1]).any()
    moved = rows[first].mean(axis=1)
    assert 0.2 < moved.mean() < 0.8


def test_a_person_under_both_labels_moves_as_two():
    shuffles = shuffle_between_people([0, 1, 1, 0], list("aabc"), permutations=9, seed=0)
    assert len(shuffles.labels) == 4
    assert (shuffles.labels.sum(axis=0) == 2).all()


def test_null_is_the_loop_over_shuffles_whatever_the_block(person, labels, rng, monkeypatch):
    design = rng.standard_normal((len(person), 3))
    folds = grouped_folds(person, np.zeros(len(person)), seed=0)
    shuffles = shuffle_between_people(labels, person, permutations=11, seed=2)
    expected = []
    for column in shuffles.labels.T:
        rows = column[shuffles.unit]
        scores = out_of_fold(design, rows[:, None].astype(float), folds)[:, 0]
        expected.append(roc_auc_score(rows, scores))
    np.testing.assert_allclose(null_aurocs(design, shuffles, folds), expected, rtol=1e-6)
    monkeypatch.setattr(permutation, "BLOCK_VALUES", 4 * len(person))
    np.testing.assert_allclose(null_aurocs(design, shuffles, folds), expected, rtol=1e-6)


def test_p_values_of_one_shortcut_count_the_shuffles_above(rng):
    null = rng.normal(0.5, 0.02, 99)
    above = int((null >= 0.52).sum())
    assert family_p_values(np.array([0.52]), null[None]) == pytest.approx((1 + above) / 100)


def test_family_error_is_what_it_says(rng):
    """Over many true nulls, of unequal spread and related, one in ten families has p <= 0.1."""
    spread = np.array([0.01, 0.05, 0.02])[:, None]
    alarms = 0
    for _ in range(400):
        shared = rng.standard_normal(200)
        draws = 0.5 + spread * (0.7 * shared + 0.7 * rng.standard_normal((3, 200)))
        alarms += family_p_values(draws[:, 0], draws[:, 1:]).min() <= 0.1
    assert 20 <= alarms <= 62


def test_p_values_step_down(rng):
    """By the definition: each against the largest of what is left, none below a stronger one's."""
    nulls = rng.normal(0.5, [[0.01], [0.05], [0.02], [0.03]], (4, 300))
    observed = np.array([0.522, 0.70, 0.545, 0.51])
    spread, middle = nulls.std(axis=1), nulls.mean(axis=1)
    striking = (observed - middle) / spread
    wanted, floor = {}, 0.0
    for place, one in enumerate(order := sorted(range(4), key=lambda i: -striking[i])):
        left = order[place:]
        beaten = sum(
            max((nulls[i, column] - middle[i]) / spread[i] for i in left) >= striking[one]
            for column in range(300)
        )
        floor = max(floor, (1 + beaten) / 301)
        wanted[one] = floor
    found = family_p_values(observed, nulls)
    np.testing.assert_allclose(found, [wanted[i] for i in range(4)])
    single = [
        (1 + (((nulls.T - middle) / spread).max(axis=1) >= each).sum()) / 301 for each in striking
    ]
    assert (found <= single).all()
    assert (found < single).any()


def test_a_null_that_never_moves_is_no_evidence(rng):
    nulls = np.stack([np.full(50, 0.7), rng.normal(0.5, 0.02, 50)])
    p = family_p_values(np.array([0.7, 0.9]), nulls)
    assert p[0] > 0.5
    assert p[1] == pytest.approx(1 / 51)
