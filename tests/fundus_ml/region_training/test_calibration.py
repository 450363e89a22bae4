"""Confidence is the share that is right, never falls with evidence, and mirrors with the eye."""

import math

import numpy as np
import pytest

from fundus_ml.imaging.regions.evidence import EVIDENCE, confidence, log_odds, weakest
from fundus_ml.imaging.regions.landmarks import landmark_network
from fundus_ml.imaging.regions.structures import Ellipse
from fundus_ml.region_training.calibration import (
    LEAST,
    PartEvidence,
    collect_evidence,
    fitted,
    hard_variants,
    overlap,
)
from tests.fundus_ml.region_training.tiny_marks import few_examples


def drawn(part, count, weights, constant, seed=0):
    """Evidence at random, and verdicts that follow a known logistic law."""
    draws = np.random.default_rng(seed)
    table = draws.normal(0, 2, (count, len(weights)))
    odds = constant + table @ np.array(weights)
    right = draws.random(count) < 1 / (1 + np.exp(-odds))
    rows = [dict(zip(EVIDENCE[part], map(float, row), strict=True)) for row in table]
    return PartEvidence(rows, right.tolist())


def test_a_known_law_is_found_again():
    weights = fitted(drawn("fovea", 4000, (1.5, 0.8, 0.5), -0.7), "fovea")
    found = [weights[name] for name in ("constant", *EVIDENCE["fovea"])]
    assert found == pytest.approx([-0.7, 1.5, 0.8, 0.5], abs=0.15)


def test_a_confidence_is_the_share_that_is_right():
    judged = drawn("disc", 6000, (1.0, 0.7, 0.4, 0.6), 0.3)
    weights = fitted(judged, "disc")
    told = np.array([confidence(weights, evidence) for evidence in judged.evidence])
    right = np.array(judged.right)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        within = (told >= low) & (told < low + 0.2)
        assert right[within].mean() == pytest.approx(told[within].mean(), abs=0.05)


def test_no_evidence_ever_speaks_for_the_opposite():
    """Even where it did by chance."""
    weights = fitted(drawn("fovea", 300, (1.0, -0.8, 0.5), 0.0), "fovea")
    assert weights["distance"] == pytest.approx(LEAST)


def test_the_side_has_no_constant():
    judged = drawn("eye", 500, (1.0, 1.0, 1.0, 1.0), 2.0)
    weights = fitted(judged, "eye")
    assert weights["constant"] == 0
    evidence = judged.evidence[0]
    mirrored = {name: -value for name, value in evidence.items()}
    assert confidence(weights, evidence) == pytest.approx(1 - confidence(weights, mirrored))


def test_nothing_to_fit_leaves_every_weight_at_one():
    weights = fitted(PartEvidence(), "disc")
    assert [weights[name] for name in EVIDENCE["disc"]] == pytest.approx([1, 1, 1, 1])


def test_the_doubt_names_what_fell_shortest():
    weights = {"constant": 0.0, "mass": 1.0, "distance": 1.0, "agreement": 1.0}
    weights |= {"usual_mass": 4.0, "usual_distance": 0.0, "usual_agreement": 1.0}
    said = weakest(weights, {"mass": 3.5, "distance": -1.0, "agreement": 0.9})
    assert said == "its distance from the disc is unlike a fovea's"


def test_log_odds_are_bounded():
    assert log_odds(0.75) == pytest.approx(math.log(3), abs=1e-4)
    assert (log_odds(0.0), log_odds(1.0), log_odds(1.0000001)) == (-6, 6, 6)


def test_overlap_is_what_areas_say():
    """Circles: within one another, apart, and half off by the formula of the lens."""
    one = Ellipse(x=50, y=50, width=40, height=40)
    assert overlap(one, one) == 1
    assert overlap(one, Ellipse(x=50, y=50, width=20, height=20)) == pytest.approx(0.25, abs=0.01)
    assert overlap(one, Ellipse(x=95, y=50, width=40, height=40)) == 0
    lens = 2 * 20**2 * math.acos(0.5) - 20 * math.sqrt(20**2 - 10**2)
    moved = overlap(one, Ellipse(x=70, y=50, width=40, height=40))
    assert moved == pytest.approx(lens / (2 * math.pi * 20**2 - lens), abs=0.01)


@pytest.mark.slow
def test_hard_variants_of_painted_eyes_are_judged():
    """By the packaged network: most discs are right, and every verdict has its evidence."""
    eyes = few_examples()
    judged = collect_evidence(landmark_network(), hard_variants(eyes, eyes, 1, seed=3))
    assert np.mean(judged["disc"].right) > 0.5
    for part, one in judged.items():
        assert len(one.evidence) == len(one.right) > 0
        assert set(one.evidence[0]) == set(EVIDENCE[part])
