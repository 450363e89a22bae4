"""Trees find an interaction that a sum misses, and have never seen the person they score."""

import numpy as np
from sklearn.metrics import roc_auc_score

from fundus_ml.auditing.boosted_trees import out_of_fold_trees
from fundus_ml.auditing.permutation import grouped_folds, out_of_fold


def test_trees_find_an_age_effect_that_turns_with_the_camera_and_a_sum_does_not():
    rng = np.random.default_rng(0)
    age, camera = rng.normal(size=600), rng.integers(0, 2, 600)
    labels = rng.random(600) < 1 / (1 + np.exp(-2 * age * (2 * camera - 1)))
    columns = np.column_stack([age, camera]).astype(float)
    columns[::50, 0] = np.nan
    folds = grouped_folds(np.arange(600), np.zeros(600), seed=0)
    trees = out_of_fold_trees(columns, labels, folds, seed=0)
    ridge = out_of_fold(np.nan_to_num(columns), labels[:, None].astype(float), folds)[:, 0]
    assert roc_auc_score(labels, trees) > 0.75
    assert roc_auc_score(labels, ridge) < 0.6


def test_a_person_is_scored_by_trees_that_have_not_seen_it():
    """Each person's number is its name: only someone who saw the person knows the label."""
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(150), 4)
    labels = (rng.random(150) < 0.5)[person]
    columns = rng.permutation(150)[person][:, None].astype(float)
    folds = grouped_folds(person, np.zeros(600), seed=0)
    scores = out_of_fold_trees(columns, labels, folds, seed=0)
    assert 0.35 < roc_auc_score(labels, scores) < 0.65
    np.testing.assert_array_equal(scores, out_of_fold_trees(columns, labels, folds, seed=0))


def test_one_class_or_no_column_says_nothing():
    folds = grouped_folds(np.arange(40), np.zeros(40), seed=0)
    one = np.zeros(40, np.bool_)
    assert not out_of_fold_trees(np.ones((40, 1)), one, folds, seed=0).any()
    assert not out_of_fold_trees(np.empty((40, 0)), ~one, folds, seed=0).any()


def test_a_column_that_nobody_knows_changes_nothing():
    """A release without ages: scikit-learn's trees fail on a column without any number."""
    rng = np.random.default_rng(2)
    labels = rng.random(120) < 0.5
    known = (labels + rng.normal(size=120))[:, None]
    unknown = np.full((120, 1), np.nan)
    folds = grouped_folds(np.arange(120), np.zeros(120), seed=0)
    scores = out_of_fold_trees(np.hstack([known, unknown]), labels, folds, seed=0)
    np.testing.assert_array_equal(scores, out_of_fold_trees(known, labels, folds, seed=0))
    assert scores.any()
    assert not out_of_fold_trees(unknown, labels, folds, seed=0).any()
