"""Subgroups hold the right eyes, are measured as if alone, and none is dropped in silence."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures
from fundus_ml.evaluation.subgroups import (
    ATTRIBUTES,
    apart_words,
    subgroup_scores,
    subgroups_of,
)
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.placements import auroc_apart, logit_auroc

PEOPLE = ("women", "men")
CALIBRATION = Calibration(temperature=1.4, threshold=0.2)


@pytest.fixture
def manifest():
    """120 people of two eyes each, women and men in turn; camera C photographed women only."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(120), 2)
    label = person % 2
    return pd.DataFrame(
        {
            "image_id": [f"x/{place}" for place in range(240)],
            "person_group": [f"x/{name}" for name in person],
            "label": label,
            "source": np.where(person < 75, "odir", "brset"),
            "eye": np.tile(["left", "right"], 120),
            "age": np.where(person % 9 == 0, np.nan, 25 + person // 3),
            "camera": np.where((person < 8) & (label == 0), "C", "A"),
            "quality": rng.permutation(240) / 240,
            "healthy": person < 112,
        }
    )


@pytest.fixture
def predicted(manifest):
    """Clean predictions, in another order than the manifest's."""
    rng = np.random.default_rng(1)
    eyes = manifest[["image_id", "person_group", "label"]].copy()
    eyes["logit"] = eyes["label"] + rng.normal(size=240)
    return eyes.sample(frac=1, random_state=1)


def measure(predicted, manifest):
    return subgroup_scores(
        predicted, manifest, people=PEOPLE, calibration=CALIBRATION, resamples=60, seed=2
    ).set_index(["attribute", "group"])


def test_each_group_is_measured_as_if_it_were_alone(predicted, manifest):
    table = measure(predicted, manifest)
    joined = predicted.merge(manifest.drop(columns=["person_group", "label"]), on="image_id")
    groups = {
        ("all", "all eyes"): joined,
        ("source", "odir"): joined[joined["source"] == "odir"],
        ("eye", "left"): joined[joined["eye"] == "left"],
        ("age", "30-39"): joined[(joined["age"] >= 30) & (joined["age"] < 40)],
        ("quality", "lowest third"): joined[joined["quality"] < 80 / 240],
        ("healthy", "healthy"): joined[joined["healthy"]],
    }
    for key, eyes in groups.items():
        row = table.loc[key]
        assert row["reason"] == ""
        assert row["eyes"] == len(eyes)
        assert row["people"] == row["women"] + row["men"] == eyes["person_group"].nunique()
        found = clustered_measures(
            eyes["label"], eyes["logit"], eyes["person_group"],
            calibration=CALIBRATION, resamples=60, seed=2,
        )  # fmt: skip
        if key[0] != "all":
            found["auroc"] = logit_auroc(eyes["label"], eyes["logit"], eyes["person_group"])
        small = eyes.groupby("label")["person_group"].nunique().min() < 50
        assert small == (key[1] in {"odir", "30-39", "lowest third"})
        for name, interval in found.items():
            wanted = (interval.value, interval.low, interval.high)
            if small and name != "auroc":
                wanted = (np.nan,) * 3
            assert tuple(row[[name, f"{name}_low", f"{name}_high"]]) == pytest.approx(
                wanted, nan_ok=True
            )


def test_each_group_is_set_against_all_other_eyes(predicted, manifest):
    """People with an eye on both sides among them, and the p-values adjusted together."""
    table = measure(predicted, manifest)
    inside = predicted["image_id"].isin(manifest.loc[manifest["eye"] == "left", "image_id"])
    found = auroc_apart(predicted["label"], predicted["logit"], inside, predicted["person_group"])
    left = table.loc[("eye", "left")]
    assert (left["apart"], left["apart_p"]) == pytest.approx((found.difference, found.pvalue))
    tested = table[table["apart_p"].notna()]
    tested = tested[~tested.index.isin([("eye", "right"), ("source", "odir")])]
    assert tested["apart_q"].to_numpy() == pytest.approx(false_discovery_control(tested["apart_p"]))
    for untested in (("all", "all eyes"), ("camera", "C"), ("healthy", "healthy")):
        assert np.isnan(table.loc[untested, "apart_p"])
    assert apart_words(table.reset_index()) == (
        f"AUROC of 0 of {len(tested)} subgroups differs from the rest at q < 0.05"
    )


def test_a_group_that_is_read_worse_is_named(predicted, manifest):
    dark = predicted["image_id"].isin(manifest.loc[manifest["quality"] <= 1 / 3, "image_id"])
    worse = predicted.assign(logit=predicted["logit"] + 4 * predicted["label"] * ~dark)
    table = measure(worse, manifest).reset_index()
    said = apart_words(table)
    assert "quality lowest third -0." in said
    assert apart_words(table.assign(apart_q=np.nan)) == "no subgroup could be set against the rest"


def test_every_eye_is_in_one_group_of_every_attribute(manifest):
    groups = subgroups_of(manifest)
    assert tuple(groups) == ATTRIBUTES
    for places in groups.values():
        assert sorted(np.concatenate(list(places.values()))) == list(range(240))
    assert list(groups["age"]) == ["0-29", "30-39", "40-49", "50-59", "60-69", "unknown"]
    assert list(groups["quality"]) == ["lowest third", "middle third", "highest third"]
    assert [len(places) for places in groups["quality"].values()] == [80, 80, 80]


def test_groups_that_cannot_be_measured_say_why(predicted, manifest):
    table = measure(predicted, manifest)
    assert table.loc[("camera", "C"), "reason"] == "one class only: no men"
    assert table.loc[("healthy", "not healthy"), "reason"] == "too few: women 4, men 4"
    assert table.loc[("age", "unknown"), "reason"] == "too few: women 7, men 7"
    for key in (("camera", "C"), ("healthy", "not healthy")):
        assert table.loc[key, list(MEASURES)].isna().all()
    assert table.loc[("camera", "C"), ["eyes", "people", "women", "men"]].tolist() == [8, 4, 4, 0]


def test_equal_or_unknown_qualities_are_no_thirds(manifest):
    """One quality for all is the middle of itself; a missing one is a group of its own."""
    equal = subgroups_of(manifest.assign(quality=0.5))["quality"]
    assert list(equal) == ["middle third"]
    manifest.loc[0, "quality"] = np.nan
    assert subgroups_of(manifest)["quality"]["unknown"].tolist() == [0]


def test_an_eye_without_a_row_is_refused(predicted, manifest):
    gone = manifest[manifest["image_id"] != "x/7"]
    with pytest.raises(InputError, match="lacks 1 of 240 eyes, the first is x/7"):
        subgroup_scores(predicted, gone, people=PEOPLE)


def test_two_groups_are_one_comparison(predicted, manifest):
    """Left against the rest is right against the rest."""
    found = measure(predicted, manifest).reset_index()
    sides = found[found["attribute"].eq("eye")]
    assert sides["apart_p"].nunique() == sides["apart_q"].nunique() == 1
    twins = found["group"].isin(["right", "odir"])
    once = found[~twins]
    assert q_values(once["apart_p"]).to_numpy() == pytest.approx(
        once["apart_q"].to_numpy(), nan_ok=True
    )
