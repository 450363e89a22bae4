"""Who is drawn: what people share, what a cue moves and nothing else, what a confounder moves."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.errors import InputError
from fundus_ml.synthesis.anatomy import DISC_DIAMETER, TRAIT_COLUMNS, TRAITS
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.options import CUES, Population
from fundus_ml.synthesis.population import draw_population

PLANTED = {"disc": "disc_trait", "vessels": "vessel_trait", "macula": "macula_trait"}


def male(table):
    """Return 1 for men, 0 for women."""
    return (table["sex"] == "male").to_numpy(int)


def odds_ratio(table):
    """Odds of the first cameras in men over those in women, counted on patients."""
    people = table.drop_duplicates("patient_id")
    early = people["camera"].isin(list(CAMERAS)[: len(CAMERAS) // 2])
    odds = early.groupby(people["sex"]).agg(lambda seen: seen.mean() / (1 - seen.mean()))
    return odds["male"] / odds["female"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patients", 0),
        ("cue", "iris"),
        ("cue_strength", -0.1),
        ("cue_strength", float("nan")),
        ("cue_strength", float("inf")),
        ("age_sex_shift", 14.5),
        ("age_sex_shift", float("nan")),
        ("camera_sex_odds", 0.0),
        ("camera_sex_odds", float("inf")),
    ],
)
def test_impossible_population_is_refused(field, value):
    """The message names the field, the value and what is allowed."""
    with pytest.raises(InputError, match=rf"^{field}={value}: allowed: "):
        Population(**{field: value})


@pytest.mark.parametrize("cue", CUES)
def test_table_is_repeatable_and_moves_with_the_seed(cue):
    """The same population twice is one table; another seed is another."""
    population = Population(patients=9, cue=cue, seed=3)
    table = draw_population(population)
    pd.testing.assert_frame_equal(table, draw_population(population))
    other = draw_population(Population(patients=9, cue=cue, seed=4))
    assert not table["disc_x"].isin(other["disc_x"]).any()


def test_rows_are_eyes_of_people():
    """Every person has one or two eyes; what belongs to the person is equal in both."""
    table = draw_population(Population(patients=2000))
    assert tuple(table)[: len(OFFERED_COLUMNS)] == OFFERED_COLUMNS
    assert table["image_id"].is_unique
    assert not table.isna().any(axis=None)
    by_person = table.groupby("patient_id")
    assert len(by_person) == 2000
    assert by_person["eye"].nunique().equals(by_person.size())
    shared = by_person[["sex", "age", "camera"]].agg(["min", "max"])
    assert shared.xs("min", axis=1, level=1).equals(shared.xs("max", axis=1, level=1))
    assert by_person.size().eq(2).mean() == pytest.approx(0.8, abs=0.03)
    assert table["eye"].eq("left").mean() == pytest.approx(0.5, abs=0.03)
    assert male(table).mean() == pytest.approx(0.5, abs=0.04)
    assert table["age"].between(18, 90).all()
    assert set(table["camera"]) == set(CAMERAS)


def test_fellow_eyes_resemble_each_other():
    """Traits and free anatomy correlate at 0.8 between the eyes of a person, seeds not at all."""
    table = draw_population(Population(patients=4000, cue="none"))
    pairs = table.pivot_table(
        index="patient_id", columns="eye", values=[*TRAITS, "haze", "warmth", "paint_seed"]
    ).dropna()
    for name in (*TRAITS, "haze", "warmth"):
        left, right = pairs[name]["left"], pairs[name]["right"]
        assert np.corrcoef(left, right)[0, 1] == pytest.approx(0.8, abs=0.03), name
    apart = np.corrcoef(pairs["paint_seed"]["left"], pairs["paint_seed"]["right"])[0, 1]
    assert apart == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize("cue", PLANTED)
def test_a_cue_moves_its_own_trait_and_nothing_else(cue):
    """Against no cue, men gain half the strength and women lose it, in one trait alone."""
    plain = draw_population(Population(patients=60, cue="none", seed=2))
    cued = draw_population(Population(patients=60, cue=cue, cue_strength=1.5, seed=2))
    trait = PLANTED[cue]
    moved = cued[trait] - plain[trait]
    np.testing.assert_allclose(moved, 1.5 * (male(cued) - 0.5), rtol=1e-12)
    own = [trait, *TRAIT_COLUMNS[trait]]
    pd.testing.assert_frame_equal(plain.drop(columns=own), cued.drop(columns=own))
    assert (plain[own] != cued[own]).all(axis=None)


def test_a_cue_of_no_strength_is_no_cue():
    """Strength 0 gives the table of cue none."""
    weak = draw_population(Population(patients=9, cue="macula", cue_strength=0))
    pd.testing.assert_frame_equal(weak, draw_population(Population(patients=9, cue="none")))


@pytest.mark.parametrize("cue", PLANTED)
@pytest.mark.parametrize("strength", [1.0, 4.0])
def test_strength_is_in_standard_deviations(cue, strength):
    """Two normals ``strength`` apart are told apart with AUROC Phi(strength / sqrt 2)."""
    table = draw_population(Population(patients=3000, cue=cue, cue_strength=strength))
    for trait in TRAITS:
        expected = norm.cdf(strength / np.sqrt(2)) if trait == PLANTED[cue] else 0.5
        assert roc_auc_score(male(table), table[trait]) == pytest.approx(expected, abs=0.03)


def test_without_a_cue_no_column_knows_the_sex():
    """Every number about the eye is at chance for telling the sexes apart."""
    table = draw_population(Population(patients=4000, cue="none", seed=1))
    for name in table.select_dtypes("number"):
        assert roc_auc_score(male(table), table[name]) == pytest.approx(0.5, abs=0.035), name
    assert odds_ratio(table) == pytest.approx(1, abs=0.2)


def test_age_shift_makes_men_older_and_moves_nothing_else():
    """The difference in mean age grows by the shift, but for what the age range cuts off."""
    plain = draw_population(Population(patients=2000))
    shifted = draw_population(Population(patients=2000, age_sex_shift=8))
    gap = [table.groupby("sex")["age"].mean().diff()["male"] for table in (plain, shifted)]
    assert gap[1] - gap[0] == pytest.approx(8, abs=0.3)
    pd.testing.assert_frame_equal(plain.drop(columns="age"), shifted.drop(columns="age"))


@pytest.mark.parametrize("odds", [0.25, 6.0])
def test_camera_odds_are_the_odds_ratio_of_the_first_cameras(odds):
    """Counted on many patients, the odds ratio is the one asked for, and nothing else moves."""
    plain = draw_population(Population(patients=6000))
    skewed = draw_population(Population(patients=6000, camera_sex_odds=odds))
    assert odds_ratio(skewed) == pytest.approx(odds, rel=0.15)
    pd.testing.assert_frame_equal(plain.drop(columns="camera"), skewed.drop(columns="camera"))


def test_the_disc_lies_nasally_two_and_a_half_of_its_diameters_from_the_fovea():
    """Right eyes have it on the right of the photograph, left eyes on the left."""
    table = draw_population(Population(patients=2000))
    away = (table["disc_x"] - table["fovea_x"]) / DISC_DIAMETER
    side = np.where(table["eye"] == "right", 1, -1)
    assert (away * side).between(1.9, 3.1).all()
    assert (away * side).mean() == pytest.approx(2.5, abs=0.02)
    assert (table["fovea_y"] - table["disc_y"]).mean() / DISC_DIAMETER == pytest.approx(
        0.25, abs=0.02
    )
    assert (np.hypot(table["disc_x"], table["disc_y"]) < 0.95).all()
