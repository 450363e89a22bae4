"""Conditions minus one another: each number against its definition, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.effects import areas_under_path
from fundus_ml.modulation.paired_differences import (
    beyond_one_gradient,
    gradient_words,
    paired_differences,
)
from fundus_ml.modulation.saliency import GRADIENT, SMOOTHGRAD
from fundus_ml.statistics.sign_flips import paired_means

IDS = [f"e{i}" for i in range(24)]
EYES = pd.DataFrame({"image_id": IDS, "person_group": [f"p{i // 2}" for i in range(24)]})


def effects(seed, *, lift=0.0):
    """24 eyes of 12 people at two budgets, rows in any order."""
    generator = np.random.default_rng(seed)
    prob = (0.5 * generator.random((2, 24)) + lift).clip(0, 1)
    frame = pd.DataFrame(
        {
            "image_id": IDS * 2,
            "person_group": EYES["person_group"].tolist() * 2,
            "eps": np.repeat([1.0, 3.0], 24),
            "prob_target_before": np.tile(0.5 * generator.random(24), 2),
            "prob_target": prob.ravel(),
            "success": prob.ravel() > 0.5,
            "evaluator_prob_target": generator.random(48),
            "l2": np.repeat([0.9, 2.7], 24),
        }
    )
    return frame.sample(frac=1, random_state=seed)


def shares(seed, *, disc=0.5):
    """Two parts; the disc is missing in the first eye, and holds nothing in the second."""
    generator = np.random.default_rng(seed)
    share = disc * generator.uniform(0.8, 1, 24)
    share[0], share[1] = np.nan, 0
    area = np.r_[0.0, np.full(23, 0.1)]
    parts = {"disc": (share, area), "background": (1 - np.nan_to_num(share), 1 - area)}
    rows = [
        pd.DataFrame(
            {"image_id": IDS, "eps": eps, "part": part, "energy_share": found, "area_share": size}
        )
        for eps in (1.0, 3.0)
        for part, (found, size) in parts.items()
    ]
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def table():
    """Three conditions and two null models."""
    conditions = {
        MODULATION: (effects(0, lift=0.5), shares(0, disc=0.9)),
        GRADIENT: (effects(1, lift=0.1), shares(1)),
        SMOOTHGRAD: (effects(2, lift=0.1), shares(2)),
        "shuffled model 1": (effects(3), shares(3)),
        "shuffled model 2": (effects(4), shares(4)),
    }
    return paired_differences(
        {name: rows for name, (rows, _) in conditions.items()},
        {name: rows for name, (_, rows) in conditions.items()},
        EYES,
    )


def row(table, measure, part="", *, other=GRADIENT):
    """One row of modulation minus another condition."""
    found = table[(table["condition"] == MODULATION) & (table["other"] == other)]
    (one,) = found[(found["measure"] == measure) & (found["part"] == part)].to_dict("records")
    return one


def test_every_pair_once_but_null_models_among_themselves(table):
    pairs = set(zip(table["condition"], table["other"], strict=True))
    assert len(pairs) == 5 * 4 / 2 - 1
    assert ("shuffled model 1", "shuffled model 2") not in pairs
    assert (table.groupby(["condition", "other"]).size() == 7).all()


@pytest.mark.parametrize("measure", ["success", "evaluator_prob_target", "area"])
def test_differences_are_those_of_each_eye(table, measure):
    """At the largest budget, or over all; the interval and p of ``paired_means``."""
    values = []
    for rows in (effects(0, lift=0.5), effects(1, lift=0.1)):
        last = rows[rows["eps"] == 3].set_index("image_id")
        found = areas_under_path(rows) if measure == "area" else last[measure].astype(float)
        values.append(found.loc[IDS].to_numpy())
    wanted = paired_means((values[0] - values[1])[:, None], EYES["person_group"])
    found = row(table, measure)
    assert found["difference"] == pytest.approx(wanted.mean[0])
    assert (found["low"], found["high"]) == pytest.approx((wanted.low[0], wanted.high[0]))
    assert found["p"] == wanted.pvalue[0]
    assert (found["eyes"], found["people"]) == (24, 12)


def test_enrichments_are_compared_as_logarithms(table):
    """An eye without the part is left out; one whose part did not change counts half a level."""
    own, other = (shares(seed, disc=disc) for seed, disc in ((0, 0.9), (1, 0.5)))
    nothing = 0.5 / (255 * 2.7) ** 2
    logs = []
    for rows in (own, other):
        last = rows[(rows["eps"] == 3) & (rows["part"] == "disc")]
        logs.append(np.log(np.maximum(last["energy_share"], nothing) / 0.1).to_numpy()[1:])
    found = row(table, "log_enrichment", "disc")
    assert found["difference"] == pytest.approx((logs[0] - logs[1]).mean())
    assert found["eyes"] == 23
    assert found["p"] < 0.01


def test_differences_of_enrichment_are_those_of_the_pooled_ones(table):
    """As ``enrichment_by_part`` pools them: sum of energy over sum of area."""
    pooled = []
    for rows in (shares(0, disc=0.9), shares(1)):
        last = rows[(rows["eps"] == 3) & (rows["part"] == "disc")].iloc[1:]
        pooled.append(last["energy_share"].sum() / last["area_share"].sum())
    assert row(table, "enrichment", "disc")["difference"] == pytest.approx(pooled[0] - pooled[1])


def test_q_is_the_false_discovery_rate_within_the_measure(table):
    for _, rows in table.groupby("measure"):
        np.testing.assert_allclose(rows["q"], false_discovery_control(rows["p"]))


def test_one_sentence_says_what_is_more_than_one_gradient(table):
    """What is not told apart is named without a number."""
    words = gradient_words(table)
    disc = row(table, "enrichment", "disc")["difference"]
    lift = row(table, "success")["difference"]
    assert words.startswith(
        f"modulation minus gradient squared (q < 0.05): more success {lift:+.2f}"
    )
    assert f"disc enrichment {disc:+.2f}" in words
    assert words.endswith("no difference in evaluator prob target")
    assert len(beyond_one_gradient(table)) == 7
    without = table[table["other"] != GRADIENT]
    assert gradient_words(without) == ""


def test_one_condition_has_none_to_differ_from():
    assert paired_differences({MODULATION: effects(0)}, {MODULATION: shares(0)}, EYES).empty


def test_an_eye_that_one_condition_leaves_alone_moves_no_other():
    """The pictures are the same but for one eye with a large disc, which one did not change."""
    own = shares(0)
    own.loc[own["image_id"].eq("e5") & own["part"].eq("disc"), "area_share"] = 0.5
    left = own.copy()
    left.loc[left["image_id"].eq("e5"), "energy_share"] = np.nan
    found = paired_differences(
        {MODULATION: effects(0), GRADIENT: effects(0)}, {MODULATION: own, GRADIENT: left}, EYES
    )
    assert row(found, "enrichment", "disc")["difference"] == 0
    assert row(found, "log_enrichment", "disc")["difference"] == 0


def test_the_least_energy_of_a_part_is_that_of_the_retina():
    """Twice the energy, half of it off the retina: on the retina both conditions did the same."""
    own = shares(0)
    off = own[own["part"].eq("disc")].assign(part="outside", energy_share=0.0, area_share=0.2)
    inside = pd.concat([own, off], ignore_index=True)
    beyond = pd.concat([own, off.assign(energy_share=0.5)], ignore_index=True)
    twice = effects(0).assign(l2=lambda rows: rows["l2"] * np.sqrt(2))
    found = paired_differences(
        {MODULATION: twice, GRADIENT: effects(0)}, {MODULATION: beyond, GRADIENT: inside}, EYES
    )
    assert row(found, "log_enrichment", "disc")["difference"] == pytest.approx(0)


def test_a_part_that_no_eye_shows_has_no_difference():
    own = shares(0)
    own.loc[own["part"].eq("disc"), "area_share"] = 0.0
    found = paired_differences(
        {MODULATION: effects(0), GRADIENT: effects(1)}, {MODULATION: own, GRADIENT: own}, EYES
    )
    assert "disc" not in set(found["part"])
