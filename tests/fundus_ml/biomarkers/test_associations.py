"""Adjusted differences, their intervals, false discoveries, and a regression beside a network."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, kstest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from fundus_ml.biomarkers import CATALOGUE, associate, compare_with_network, out_of_fold
from fundus_ml.biomarkers.associations import COLUMNS, age_columns
from fundus_ml.errors import InputError

NAMES = [each.name for each in CATALOGUE]


def people(count, *, seed=0, eyes=2):
    """Labels, ages and people of eyes, each person's eyes alike in both."""
    rng = np.random.default_rng(seed)
    label, age = rng.integers(0, 2, count), rng.uniform(20, 80, count)
    person = np.repeat(np.arange(count), eyes)
    return label[person], age[person], person, rng


def test_without_age_it_is_the_difference_over_the_pooled_deviation():
    label, _, person, rng = people(150, eyes=1)
    value = rng.normal(3, 2, 150) + 1.4 * label
    table = associate(pd.DataFrame({"crae": value}), label, groups=person, resamples=400)
    first, second = value[label == 0], value[label == 1]
    pooled = np.var(first, ddof=1) * (len(first) - 1) + np.var(second, ddof=1) * (len(second) - 1)
    pooled = np.sqrt(pooled / (len(value) - 2))
    expected = (second.mean() - first.mean()) / pooled
    row = table.iloc[0]
    assert row["difference"] == pytest.approx(expected)
    assert row["difference_low"] < expected < row["difference_high"]
    # Hedges' standard error of d for independent rows.
    error = np.sqrt(1 / len(first) + 1 / len(second) + expected**2 / (2 * len(value)))
    width = (row["difference_high"] - row["difference_low"]) / (2 * 1.96)
    assert width == pytest.approx(error, rel=0.12)
    assert list(table.columns) == list(COLUMNS)
    assert row["mean_1"] == pytest.approx(second.mean())


def test_age_is_held_equal_as_in_a_regression_on_the_same_columns():
    label, age, person, rng = people(200)
    older = age + 12 * label
    value = 0.002 * (older - 45) ** 2 + 0.6 * label + rng.normal(0, 1, len(label))
    frame = pd.DataFrame({"crve": value})
    own = associate(frame, label, groups=person, age=older, resamples=50).iloc[0]
    design = np.column_stack([label, age_columns(older)])
    slope = LinearRegression().fit(design, value).coef_[0]
    within = np.sqrt(
        sum(((value[label == c] - value[label == c].mean()) ** 2).sum() for c in (0, 1))
        / (len(value) - 2)
    )
    assert own["difference"] == pytest.approx(slope / within, rel=1e-6)
    crude = associate(frame, label, groups=person, resamples=50).iloc[0]
    assert crude["difference"] > own["difference"] + 0.1


def test_two_eyes_of_a_person_do_not_halve_the_interval():
    label, _, person, rng = people(120, eyes=1)
    value = rng.normal(0, 1, 120)
    once = associate(pd.DataFrame({"crae": value}), label, groups=person, resamples=600)
    twice = associate(
        pd.DataFrame({"crae": np.tile(value, 2)}), np.tile(label, 2), groups=np.tile(person, 2),
        resamples=600,
    )  # fmt: skip
    assert twice["difference"][0] == pytest.approx(once["difference"][0], rel=0.02)
    assert twice["p"][0] == pytest.approx(once["p"][0], rel=0.1)
    assert twice["people"][0] == 120
    assert twice["eyes"][0] == 240


def test_p_is_even_where_nothing_differs():
    """33 biomarkers in each of four populations, none of them related to the label."""
    found = []
    for seed in range(4):
        label, age, person, rng = people(80, seed=seed)
        shared = rng.normal(0, 1, (80, len(NAMES)))[person]
        values = pd.DataFrame(shared + rng.normal(0, 0.4, shared.shape), columns=NAMES)
        found.append(associate(values, label, groups=person, age=age, resamples=200)["p"])
    assert kstest(np.concatenate(found), "uniform").pvalue > 0.01


def test_q_is_that_of_benjamini_and_hochberg_over_what_could_be_judged():
    label, age, person, rng = people(60)
    values = pd.DataFrame(rng.normal(0, 1, (120, 5)), columns=NAMES[:5])
    values[NAMES[0]] += 2 * label
    values[NAMES[4]] = 1.0
    table = associate(values, label, groups=person, age=age, contrast="sex", resamples=200)
    judged = table["p"].notna()
    assert judged.tolist() == [True] * 4 + [False]
    assert table["reason"].tolist() == [""] * 4 + ["it never differs"]
    np.testing.assert_allclose(table["q"][judged], false_discovery_control(table["p"][judged]))
    assert table["q"][0] < 0.001
    assert table.set_index("biomarker").loc["disc_area", "direction"] == 1
    assert associate(values, label, groups=person, resamples=9)["direction"].eq(0).all()


def test_missing_values_are_left_out_and_too_few_people_are_said():
    label, age, person, rng = people(60)
    values = pd.DataFrame({"crae": rng.normal(0, 1, 120), "crve": rng.normal(0, 1, 120)})
    values.loc[:30, "crae"] = np.nan
    values.loc[20:, "crve"] = np.nan
    age[:30] = np.nan
    table = associate(values, label, groups=person, age=age, resamples=50).set_index("biomarker")
    assert table.loc["crae", "eyes"] == 89
    assert np.isfinite(table.loc["crae", "q"])
    assert "people of one class have it, 20 are needed" in table.loc["crve", "reason"]
    assert np.isnan(table.loc["crve", "difference"])


def test_what_few_people_have_is_not_compared():
    """A bootstrap that draws none of them has nothing to divide by."""
    label, _, person, _ = people(100, eyes=1)
    rare = pd.DataFrame({"beta_zone": (np.arange(100) < 9) * 0.3, "atrophy": np.arange(100) < 10})
    table = associate(rare.astype(float), label, groups=person, resamples=300)
    assert table["reason"].tolist() == ["it is the same in all but 9 people", ""]
    assert table["p"].notna().tolist() == [False, True]


def test_ages_are_a_spline_a_line_or_nothing():
    rng = np.random.default_rng(0)
    assert age_columns(rng.uniform(20, 80, 50)).shape == (50, 5)
    assert age_columns(np.repeat([40.0, 60.0], 10)).shape == (20, 1)
    assert age_columns(np.repeat([40.0, 60.0, np.nan], 10)).shape == (30, 2)
    assert age_columns(np.full(9, np.nan)).shape == (9, 0)
    assert age_columns(np.full(9, 50.0)).shape == (9, 0)


def test_mistakes_are_told():
    label, _, person, _ = people(30, eyes=1)
    values = pd.DataFrame({"crae": np.arange(30.0)})
    with pytest.raises(InputError, match="labels: each must be 0 or 1"):
        associate(values, label + 1, groups=person)
    with pytest.raises(InputError, match="no biomarker is called colour"):
        associate(values.rename(columns={"crae": "colour"}), label, groups=person)
    with pytest.raises(InputError, match="labels"):
        associate(values, label[:9], groups=person)
    with pytest.raises(InputError, match="3 people of one class, 5 are needed for the folds"):
        out_of_fold(values, np.arange(30) < 3, person)


def test_every_eye_is_scored_by_a_model_that_did_not_see_its_person():
    """A column that names the person is worth nothing; an honest one is worth what it is."""
    label, _, person, rng = people(100)
    honest = label + rng.normal(0, 1, 200)
    values = pd.DataFrame({"honest": honest, "gap": np.where(rng.random(200) < 0.2, np.nan, 0.0)})
    scores = out_of_fold(values, label, person)
    assert np.isfinite(scores).all()
    assert roc_auc_score(label, scores) == pytest.approx(roc_auc_score(label, honest), abs=0.05)
    names = pd.get_dummies(person).astype(float)
    assert roc_auc_score(label, out_of_fold(names, label, person)) < 0.6


def test_a_network_beside_biomarkers_on_the_same_eyes():
    label, _, person, rng = people(150)
    values = pd.DataFrame({"crae": label + rng.normal(0, 1.5, 300)})
    network = label + rng.normal(0, 1.5, 300)
    network[:100] = np.nan
    table = compare_with_network(values, label, person, network=network, resamples=200)
    table = table.set_index("scorer")
    shown = np.isfinite(network)
    assert set(table["eyes"]) == {200}
    own = roc_auc_score(label[shown], network[shown])
    assert table.loc["network", "auroc"] == pytest.approx(own)
    alone = roc_auc_score(label[shown], out_of_fold(values, label, person)[shown])
    assert table.loc["biomarkers", "auroc"] == pytest.approx(alone)
    assert table.loc["biomarkers", "difference"] == pytest.approx(own - alone)
    assert table.loc["both", "auroc"] > max(own, alone)
    assert np.isnan(table.loc["network", "difference"])
    (single,) = compare_with_network(values, label, person, resamples=50).to_dict("records")
    assert single["eyes"] == 300
    assert np.isnan(single["difference"])
