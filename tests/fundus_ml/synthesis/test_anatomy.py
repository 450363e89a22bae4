"""An eye read from its row, and how traits and landmarks become anatomy."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.synthesis.anatomy import (
    DISC_DIAMETER,
    TRAIT_COLUMNS,
    TRAITS,
    Eye,
    anatomy_of_traits,
    place_landmarks,
)


def traits(**values):
    """Traits at their mean but for those given."""
    length = max(len(column) for column in values.values())
    return pd.DataFrame({name: values.get(name, np.zeros(length)) for name in TRAITS})


@pytest.mark.parametrize("trait", TRAITS)
def test_a_higher_trait_is_more_of_its_own_anatomy(trait):
    """Each column rises with its trait over what a default cue spans, and ignores the others."""
    anatomy = anatomy_of_traits(traits(**{trait: np.linspace(-4, 4, 17)}))
    own = list(TRAIT_COLUMNS[trait])
    assert (anatomy[own].iloc[2:-2].diff().iloc[1:] > 0).all(axis=None)
    assert (anatomy[own].diff().iloc[1:] >= 0).all(axis=None)
    others = anatomy.drop(columns=own)
    assert (others == others.iloc[0]).all(axis=None)


def test_every_trait_column_belongs_to_one_trait():
    """The map from traits to anatomy names every column once."""
    named = [column for columns in TRAIT_COLUMNS.values() for column in columns]
    assert sorted(named) == sorted(anatomy_of_traits(traits(disc_trait=np.zeros(2))))


def test_the_strangest_trait_is_still_an_eye():
    """Traits without bound give a cup inside its disc, vessels, and a macula inside its region."""
    far = np.array([-1e3, 1e3])
    anatomy = anatomy_of_traits(traits(disc_trait=far, vessel_trait=far, macula_trait=far))
    for name in ("cup_disc_ratio", "rim_pallor", "vessel_density", "macula_darkness"):
        assert anatomy[name].between(0.01, 0.99).all(), name
    assert (anatomy["macula_extent"] < 1).all()
    assert anatomy["disc_radius"].between(0.1, 0.2).all()
    assert anatomy["vessel_calibre"].between(0.5, 2).all()


def test_an_eye_is_its_row(make_row):
    """Numbers survive as written, also from text as a table read from CSV holds it."""
    row = make_row(disc_x=0.1 + 0.2, paint_seed=2**31 - 1)
    eye = Eye.from_row(row | {"sex": "male"})
    assert {name: getattr(eye, name) for name in row} == row
    assert Eye.from_row({name: str(value) for name, value in row.items()}) == eye


def test_a_row_without_a_column_is_refused(make_row):
    """The message lists every missing column."""
    row = make_row()
    del row["haze"], row["disc_y"]
    with pytest.raises(InputError, match="columns disc_y, haze are missing from the row"):
        Eye.from_row(row)


def test_parts_of_the_painting_have_their_own_random_numbers(make_eye):
    """One part's numbers repeat, and neither another part nor another eye shares them."""
    eye, other = make_eye(), make_eye(paint_seed=8)
    draws = [one.generator(part).random(3) for one in (eye, other) for part in (1, 2)]
    assert len(np.unique(draws)) == 12
    np.testing.assert_array_equal(make_eye(haze=0.5).generator(2).random(3), draws[1])


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_landmarks_keep_their_distances(side):
    """Disc to fovea is as told; fixation moves the field from the fovea to midway."""
    marks = place_landmarks(
        temporal=np.full(3, side),
        fixation=np.array([0.0, 1.0, 0.5]),
        distance=np.array([2.5, 2.5, 2.2]),
        drop=np.array([0.25, 0.25, 0.1]),
        gaze=np.array([[0.0, 0.0], [0.0, 0.0], [0.02, -0.03]]),
    )
    apart = marks[["fovea_x", "fovea_y"]].to_numpy() - marks[["disc_x", "disc_y"]].to_numpy()
    expected = [[side * 2.5, 0.25], [side * 2.5, 0.25], [side * 2.2, 0.1]]
    np.testing.assert_allclose(apart / DISC_DIAMETER, expected)
    assert marks.loc[0, ["fovea_x", "fovea_y"]].tolist() == [0, 0]
    assert marks.loc[1, "fovea_x"] == pytest.approx(-marks.loc[1, "disc_x"])
    assert marks.loc[1, "fovea_y"] == pytest.approx(-marks.loc[1, "disc_y"])


@pytest.mark.parametrize(("eye", "sign"), [("right", -1), ("left", 1)])
def test_temporal_points_from_disc_to_fovea(make_eye, eye, sign):
    """In the photograph of a right eye, temporal is to the left."""
    assert make_eye(eye=eye).temporal == sign
