"""Given age, what follows age alone is not named, and what goes with the label itself is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.shortcut_naming import cohort, naming
from fundus_ml.auditing.columns import Shortcut, age_spline
from fundus_ml.auditing.conditional_randomisation import ConditionalLabels, recalibrated


def drawn(people, seed, *, direct=0.0):
    frame, named, others = cohort("age", people, seed, direct=direct)
    labels = ConditionalLabels(frame["label"], frame["person_group"], named, draws=99, seed=seed)
    return frame, {item.name: item for item in [*named, *others]}, labels


def p_of(labels, shortcut):
    observed, null = labels.statistic(shortcut.design)
    return (1 + (null >= observed).sum()) / (1 + len(null))


@pytest.mark.slow
def test_a_mirror_of_age_has_uniform_p_and_a_shortcut_of_its_own_the_smallest():
    """Six p-values: two below .05 would come about by chance in 3 runs of 100."""
    p = []
    for seed in range(6):
        _, shortcuts, labels = drawn(300, seed)
        p.append(p_of(labels, shortcuts["border"]))
    assert np.sum(np.array(p) <= 0.05) < 2, p
    assert 0.2 < np.mean(p) < 0.8
    _, shortcuts, labels = drawn(600, 0, direct=0.05)
    assert p_of(labels, shortcuts["border"]) == pytest.approx(0.01)


def test_labels_are_drawn_by_age_and_their_mean_is_that_of_the_labels():
    frame, shortcuts, labels = drawn(600, 0)
    age = pd.Series(shortcuts["age"].columns[:, 0]).groupby(frame["person_group"]).first()
    assert labels.prob.mean() == pytest.approx(
        frame.groupby("person_group")["label"].first().mean(), abs=1e-4
    )
    aurocs = [roc_auc_score(column, age) for column in labels.drawn.T[:20]]
    true = roc_auc_score(frame["label"], shortcuts["age"].columns[:, 0])
    assert np.mean(aurocs) == pytest.approx(true, abs=0.05)
    explained = labels.explained_auroc(shortcuts["border"].columns[:, 0])
    assert explained == pytest.approx(true, abs=0.05)


def test_a_column_that_the_named_ones_determine_is_no_evidence():
    """Its residual is rounding, which whitening alone would blow up."""
    for seed in range(2):
        _, shortcuts, labels = drawn(200, seed)
        same = shortcuts["age"].design[:, :3] + 1e-7
        assert p_of(labels, Shortcut("age again", known=True, design=same)) > 0.01


def test_a_person_under_both_labels_is_two_units():
    frame, shortcuts, _ = drawn(100, 0)
    labels = frame["label"].to_numpy().copy()
    twice = frame["person_group"].duplicated().to_numpy()
    labels[np.flatnonzero(twice)[0]] ^= 1
    found = ConditionalLabels(labels, frame["person_group"], [shortcuts["age"]], draws=9, seed=0)
    assert found.drawn.shape == (101, 9)


def test_where_the_named_one_settles_the_label_one_exception_proves_nothing():
    """Fitted probabilities of 0 and 1 would make any second shortcut look certain."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    sharp = Shortcut("sharp", known=True, design=(2.0 * labels - 1)[:, None])
    labels = np.where(np.arange(160) < 2, 1 - labels, labels)
    found = ConditionalLabels(labels, np.arange(160), [sharp], draws=99, seed=0)
    p = [
        p_of(found, Shortcut("noise", known=False, design=rng.normal(size=(160, 6))))
        for _ in range(20)
    ]
    assert min(found.prob) >= 0.01
    assert sum(value <= 0.05 for value in p) <= 3


def test_recalibrated_probabilities_have_the_mean_and_the_slope_of_the_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-logits))
    prob = recalibrated(np.column_stack([3 * logits + 1, rng.normal(size=4000)]), labels)
    assert prob.mean() == pytest.approx(labels.mean(), abs=1e-4)
    assert abs(prob - 1 / (1 + np.exp(-logits))).max() < 0.05


def test_without_variation_nothing_is_explained():
    age = age_spline(pd.Series(np.arange(60.0)))
    labels = np.arange(60) % 2
    found = ConditionalLabels(labels, np.arange(60), [age], draws=5, seed=0)
    found.drawn = np.zeros((60, 5), np.bool_)
    assert found.explained_auroc(np.arange(60.0)) == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["age", "age and camera"])
def test_over_two_hundred_cohorts_nothing_else_is_named(scene):
    """At most 1 % may be: more than 6 of 200 would be a p-value below 0.005."""
    found = naming(scene, 500, 200, direct=0.0)
    assert found["named_falsely"][0] <= 6 / 200
    assert found["border_p_below_0.05"][0] <= 0.09
