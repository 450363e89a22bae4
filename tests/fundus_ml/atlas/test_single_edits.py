"""Edits of one biomarker alone, scored by whoever is given."""

import numpy as np
import pytest

from fundus_ml.atlas import EDIT_OF, single_edits
from fundus_ml.atlas.single_edits import EDIT_COLUMNS
from fundus_ml.biomarkers import BY_NAME
from fundus_ml.errors import InputError
from fundus_ml.synthesis.edits import EDITS, edit, parts_of_rows
from tests.fundus_ml.atlas import flat_eyes


def redness(pixels):
    return (pixels[..., 0].astype(float) - pixels[..., 1]).mean(axis=(1, 2))


@pytest.fixture(scope="module")
def given():
    pixels, rows, maps = flat_eyes.eyes(8)
    return pixels, parts_of_rows(rows, maps), rows["person_group"]


def test_an_evaluator_that_reads_hue_is_moved_by_its_edit_alone(given):
    pixels, parts, _ = given
    found = single_edits(redness, *given).set_index("edit")
    assert (*found.reset_index()[list(EDIT_COLUMNS)],) == EDIT_COLUMNS
    sides = [
        redness(
            np.stack([edit("hue", *each, strength=s) for each in zip(pixels, parts, strict=True)])
        )
        for s in (1, -1)
    ]
    assert found.loc["hue", "logit_change"] == pytest.approx((sides[0] - sides[1]).mean())
    assert found.loc["hue", "q"] < 0.05
    # All channels alike: grey stays grey.
    assert found.loc["ring_colour", "logit_change"] == pytest.approx(0, abs=0.01)
    assert found.loc["foveal_darkness", "people"] == 8


def test_eyes_that_cannot_be_edited_abstain_and_are_counted(given):
    found = single_edits(redness, *given).set_index("edit")
    assert found.loc["vessel_calibre", "abstained"] == "vessels not known: 8"
    assert found.loc["vessel_calibre", "eyes"] == 0
    assert np.isnan(found.loc["vessel_calibre", "q"])
    assert found.loc["hue", "abstained"] == ""


def test_every_name_of_the_table_is_known():
    assert set(EDIT_OF) <= set(BY_NAME)
    assert {each.edit for each in EDIT_OF.values()} <= set(EDITS)
    assert {each.sign for each in EDIT_OF.values()} == {-1, 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"strength": 0.0}, "strength=0.0: must be above 0"),
        ({"groups": [1]}, "groups: 1 given for 8"),
    ],
)
def test_refusals(given, changed, message):
    pixels, parts, people = given
    known = {"pixels": pixels, "parts": parts, "groups": people}
    with pytest.raises(InputError, match=message):
        single_edits(redness, **known | changed)
