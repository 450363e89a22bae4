"""Temperature, threshold, Brier and ECE against scikit-learn, slow searches and closed forms."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss

from benchmarks.coverage import cohort
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import (
    TEMPERATURES,
    Calibration,
    brier,
    calibration_effect,
    ece,
    fit_calibration,
    negative_log_likelihood,
    probabilities,
    reliability,
    temperature_of,
    youden_threshold,
)


@pytest.fixture
def eyes():
    """600 eyes whose logits are 1.5 times too sure."""
    labels, logits, _ = cohort(np.random.default_rng(5), 300, auroc=0.75, correlation=0.5)
    return labels, logits


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose logit is the one feature."""

    def fit(self, _features, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict(self, features):
        return (features[:, 0] > 0).astype(int)

    def decision_function(self, features):
        return features[:, 0]


def test_temperature_is_that_of_scikit_learn(eyes):
    labels, logits = eyes
    given = FrozenEstimator(Given().fit(logits[:, None], labels))
    peer = CalibratedClassifierCV(given, method="temperature", ensemble=False)
    prob = peer.fit(logits[:, None], labels).predict_proba(logits[:, None])[:, 1]
    found = temperature_of(labels, logits)
    np.testing.assert_allclose(probabilities(logits, temperature=found), prob, atol=2e-3)
    assert 1.2 < found < 1.9


def test_temperature_has_the_least_cross_entropy(eyes):
    """No place of a fine grid is better; and scaling the logits scales it."""
    labels, logits = eyes
    found = temperature_of(labels, logits)
    grid = np.geomspace(*TEMPERATURES, 4001)
    losses = [negative_log_likelihood(labels, logits / t) for t in grid]
    best = negative_log_likelihood(labels, logits / found)
    assert best <= min(losses) + 1e-12
    assert best == pytest.approx(log_loss(labels, expit(logits / found)))
    assert temperature_of(labels, 3 * logits) == pytest.approx(3 * found, rel=1e-5)


@pytest.mark.parametrize(("sign", "limit"), [(1, TEMPERATURES[0]), (-1, TEMPERATURES[1])])
def test_no_finite_temperature_ends_at_a_limit(sign, limit):
    """Perfect logits would be sharpened for ever, reversed ones flattened for ever."""
    labels, logits = np.array([0, 0, 1, 1]), sign * np.array([-3.0, -1, 1, 2])
    found = fit_calibration(labels, logits)
    assert found.temperature == pytest.approx(limit, rel=1e-2)
    assert found.at_limit
    assert not Calibration(temperature=1.3, threshold=0).at_limit


def test_threshold_has_the_best_balanced_accuracy_of_all_places(eyes):
    labels, logits = (column[:150] for column in eyes)
    found = youden_threshold(labels, logits)
    ranked = np.sort(logits)
    places = (ranked[:-1] + ranked[1:]) / 2
    best = max(balanced_accuracy_score(labels, logits > place) for place in places)
    assert balanced_accuracy_score(labels, logits > found) == pytest.approx(best)


@pytest.mark.parametrize(
    ("labels", "logits", "wanted"),
    [
        ([0, 0, 1, 1], [-3.0, -1, 2, 3], 0.5),  # half-way across the gap
        ([0, 1, 0, 1], [1.0, 2.0, 5.0, 6.0], 1.5),  # two places as good: the one nearer to 0
        ([0, 1, 0, 1], [0.7] * 4, 0.7),  # one logit for all
    ],
)
def test_threshold_of_a_few_eyes(labels, logits, wanted):
    assert youden_threshold(labels, logits) == pytest.approx(wanted)


def test_brier_is_that_of_scikit_learn(eyes):
    labels, logits = eyes
    assert brier(labels, expit(logits)) == pytest.approx(brier_score_loss(labels, expit(logits)))
    assert brier([0, 1], [0.5, 0.5]) == 0.25


def test_reliability_is_the_curve_of_scikit_learn(eyes):
    labels, logits = eyes
    prob = expit(logits)
    table = reliability(labels, prob)
    share, mean = calibration_curve(labels, prob, n_bins=15)
    np.testing.assert_allclose(table["share"], share)
    np.testing.assert_allclose(table["prob"], mean)
    assert table["eyes"].sum() == len(labels)
    gap = (table["eyes"] * (table["share"] - table["prob"]).abs()).sum() / len(labels)
    assert ece(labels, prob) == pytest.approx(gap)


@pytest.mark.parametrize(
    ("labels", "prob", "wanted"),
    [
        ([0, 1], [0.0, 1.0], 0.0),
        ([1, 0], [0.0, 1.0], 1.0),
        ([0, 1, 1, 1], [0.75] * 4, 0.0),
        ([0, 0, 1, 1], [0.9, 0.9, 0.9, 0.9], 0.4),
    ],
)
def test_ece_of_a_few_eyes(labels, prob, wanted):
    assert ece(labels, prob) == pytest.approx(wanted)


def test_the_effect_of_a_calibration_names_both_readings(eyes):
    """At the fitted temperature these logits are nearly calibrated, and rank as before."""
    labels, logits = eyes
    found = fit_calibration(labels, logits)
    effect = calibration_effect(labels, logits, found)
    scaled = expit(logits / found.temperature)
    assert effect["eyes"] == 600
    assert effect["nll"] == pytest.approx(log_loss(labels, expit(logits)))
    assert effect["nll_calibrated"] == pytest.approx(log_loss(labels, scaled))
    assert effect["ece_calibrated"] == pytest.approx(ece(labels, scaled))
    assert effect["brier_calibrated"] == pytest.approx(brier(labels, scaled))
    assert effect["nll_calibrated"] < effect["nll"]
    assert effect["ece_calibrated"] < effect["ece"]
    both = (effect["sensitivity"] + effect["specificity"]) / 2
    assert both == pytest.approx(balanced_accuracy_score(labels, logits > found.threshold))


def test_tags_keep_every_digit():
    found = Calibration(temperature=1 / 3, threshold=-0.1234567890123456)
    assert Calibration.from_tags(found.tags() | {"recipe": "clean"}) == found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Calibration(temperature=0, threshold=0), "temperature=0: must be a finite"),
        (lambda: Calibration(temperature=1, threshold=np.nan), "threshold=nan: must be a finite"),
        (lambda: Calibration.from_tags({"threshold": "1"}), "no temperature is stored"),
        (lambda: Calibration.from_tags({}), "no temperature and no threshold is stored"),
        (
            lambda: Calibration.from_tags({"temperature": "warm", "threshold": "1"}),
            "stored calibration: could not convert string to float: 'warm'",
        ),
        (lambda: fit_calibration([1, 1], [0.1, 0.2]), "all 2 are 1, AUROC needs both classes"),
        (lambda: fit_calibration([0, 1], [0.1, np.inf]), "scores: 1 of 2 not finite"),
        (lambda: temperature_of([0, 1], [0.1]), "lengths differ: labels 2, logits 1"),
        (lambda: ece([0, 1], [0.1, 1.2]), r"prob: must lie in \[0, 1\], not from 0.1 to 1.2"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
