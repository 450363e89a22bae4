"""Several scorers on the same eyes, against scikit-learn, plain means and the paired bootstrap."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.model_selection.comparison import (
    auroc_of,
    compare_scorers,
    difference_of,
    mean_prediction,
    what_is_shown,
)
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc, paired_auroc_difference


@pytest.fixture(scope="module")
def eyes():
    """60 eyes of 35 people, ten of whom have one."""
    rng = np.random.default_rng(0)
    people = np.concatenate([np.repeat(np.arange(25), 2), np.arange(25, 35)])
    sex = rng.permutation(np.arange(35) % 2)
    return pd.DataFrame({"person_group": people, "label": sex[people]})


@pytest.fixture(scope="module")
def logits(eyes):
    rng = np.random.default_rng(1)
    good = eyes["label"] + rng.normal(0, 0.8, len(eyes))
    return {"good": good.to_numpy(), "poor": rng.normal(size=len(eyes))}


def test_the_table_is_each_auroc_and_the_paired_difference(eyes, logits):
    table = compare_scorers(eyes, logits, reference="good", resamples=200, seed=3)
    assert table["per"].tolist() == ["eye", "eye", "person", "person"]
    assert table["count"].tolist() == [60, 60, 35, 35]
    assert set(table["people"]) == {35}
    labels, people = eyes["label"], eyes["person_group"]
    assert auroc_of(table, "good").value == pytest.approx(roc_auc_score(labels, logits["good"]))
    assert auroc_of(table, "poor") == clustered_auroc(
        labels, logits["poor"], people, resamples=200, seed=3
    )
    assert difference_of(table, "poor") == paired_auroc_difference(
        labels, logits["good"], logits["poor"], people, resamples=200, seed=3
    )
    assert table.loc[table["model"] == "good", "difference"].isna().all()


def test_a_persons_score_is_the_mean_of_their_eyes(eyes, logits):
    table = compare_scorers(eyes, logits, reference="poor", resamples=50, seed=0)
    persons = sorted(set(eyes["person_group"]))
    rows = [eyes["person_group"] == person for person in persons]
    scores = [logits["good"][row].mean() for row in rows]
    labels = [eyes["label"][row].iloc[0] for row in rows]
    assert auroc_of(table, "good", per="person").value == pytest.approx(
        roc_auc_score(labels, scores)
    )


def test_people_of_both_sexes_stand_once_under_each(eyes, logits):
    torn = eyes.assign(label=eyes["label"].where(eyes.index != 0, 1 - eyes["label"]))
    table = compare_scorers(torn, logits, reference="good", resamples=50, seed=0)
    assert table.loc[table["per"] == "person", ["count", "people"]].to_numpy().tolist() == [
        [36, 35], [36, 35]
    ]  # fmt: skip


def test_scorers_on_another_scale_are_the_same_scorer(eyes, logits):
    """AUROC asks for the order alone."""
    both = {"one": logits["good"], "other": 3 * logits["good"] + 1}
    table = compare_scorers(eyes, both, reference="one", resamples=50, seed=0)
    assert difference_of(table, "other") == Interval(0.0, 0.0, 0.0)


def test_an_unknown_reference_is_refused(eyes, logits):
    with pytest.raises(InputError, match="reference=best: allowed: good, poor"):
        compare_scorers(eyes, logits, reference="best", resamples=50, seed=0)


def test_the_mean_prediction_is_the_mean_of_probabilities():
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 3, 40).astype(np.float32) for _ in range(3)]
    mean = np.mean([1 / (1 + np.exp(-z.astype(float))) for z in logits], axis=0)
    np.testing.assert_allclose(mean_prediction(logits), np.log(mean / (1 - mean)), rtol=1e-9)


def test_the_mean_prediction_keeps_the_order_of_sure_networks():
    """Probabilities of 1 in double precision are still told apart."""
    sure = np.array([200.0, 400.0, 600.0, -600.0])
    found = mean_prediction([sure, sure])
    np.testing.assert_allclose(found, sure)


def test_a_loud_network_has_one_say():
    """The mean of logits would call all four male."""
    loud, calm = np.full(4, 900.0), np.array([-2.0, -1.0, 1.0, 2.0])
    found = mean_prediction([loud, calm])
    assert (np.diff(found) > 0).all()
    assert found[0] == pytest.approx(np.log((1 + 0.1192) / (1 - 0.1192)), abs=1e-3)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.03, 0.01, 0.05), "+0.030 (+0.010 to +0.050), so A is shown to score higher"),
        ((-0.03, -0.05, -0.01), "-0.030 (-0.050 to -0.010), so B is shown to score higher"),
        ((0.01, -0.02, 0.04), "not shown that either scores higher, nor that they are equal"),
        ((0.01, 0.0, 0.04), "not shown that either scores higher"),
        ((0.01, np.nan, np.nan), "nothing is shown: one person cannot be resampled"),
    ],
)
def test_words_follow_the_interval(interval, words):
    assert words in what_is_shown(Interval(*interval), "A", "B")
