"""A calibrated edit lets the quantity alone tell the classes as well as was asked."""

import importlib

import numpy as np
import pytest
from scipy.special import expit, ndtri
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.synthesis.edits import (
    EDITS,
    EditedParts,
    edit,
    oracle_auroc,
    oracle_quantity,
    quantity,
    strengths_for,
    strengths_for_all,
)
from fundus_ml.synthesis.edits.colours import SHIFTS
from fundus_ml.synthesis.edits.parts import soft_retina
from fundus_ml.synthesis.edits.quantities import log_vessel_width
from fundus_ml.synthesis.edits.warps import LOG_CALIBRE, LOG_MAGNIFICATION
from tests.fundus_ml.synthesis.edits import painted_eyes

SPREAD = 1.0


def coloured_eyes(count, *, eyes_each=1):
    """Flat eyes whose logit of red is spread normally between people."""
    parts = EditedParts(retina=np.ones((20, 31), np.bool_))
    place = (np.arange(count) + 0.5) / count
    red = 256 * expit(SPREAD * ndtri(np.repeat(place, eyes_each))) - 0.5
    pixels = np.full((count * eyes_each, 20, 31, 3), 100, np.uint8)
    pixels[..., 0] = np.rint(red)[:, None, None]
    return pixels, [parts] * len(pixels), np.repeat(np.arange(count), eyes_each)


@pytest.mark.parametrize("auroc", [0.6, 0.85])
def test_a_normal_quantity_moves_by_the_stated_standard_deviations(auroc):
    eyes = coloured_eyes(60)
    found = strengths_for(auroc, *eyes, edits=("hue",))["hue"]
    apart = np.sqrt(2) * ndtri(auroc)
    assert found.auroc == pytest.approx(auroc, abs=0.01)
    assert found.between_classes == pytest.approx(apart, rel=0.08)
    # Both classes move, each by the shift of red less that of green, less towards the border.
    weight = soft_retina(eyes[1][0])
    whole = np.square(weight).sum() / weight.sum()
    gain = 2 * (SHIFTS["hue"][0] - SHIFTS["hue"][1]) * whole
    assert found.strength * gain == pytest.approx(apart * SPREAD, rel=0.1)
    assert (found.eyes, found.people, found.abstained) == (60, 60, {})


def test_several_aurocs_share_their_measurements(monkeypatch):
    eyes = coloured_eyes(40)
    asked = (0.6, 0.7, 0.85)
    tried = []
    strengths = importlib.import_module("fundus_ml.synthesis.edits.strengths")
    measured = strengths._measured

    def counted(name, strength, eye):
        tried.append(strength)
        return measured(name, strength, eye)

    monkeypatch.setattr(strengths, "_measured", counted)
    together = strengths_for_all(asked, *eyes, edits=("hue",))
    shared = len(tried)
    assert shared == 40 * len(set(tried))  # every eye once at each strength
    tried.clear()
    for auroc in asked:
        alone = strengths_for(auroc, *eyes, edits=("hue",))["hue"]
        assert together[auroc]["hue"].auroc == pytest.approx(auroc, abs=0.001)
        assert together[auroc]["hue"].strength == pytest.approx(alone.strength, abs=0.005)
    assert shared < len(tried)


def test_nothing_is_needed_for_a_coin_and_nothing_helps_without_an_edit():
    eyes = coloured_eyes(20)
    assert strengths_for(0.5, *eyes, edits=("hue",))["hue"].strength == 0
    none = strengths_for(0.7, *eyes, edits=("none",))["none"]
    assert (none.strength, none.auroc, none.between_classes) == (0, 0.5, 0)


def test_the_oracle_counts_pairs_of_different_people():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=9).round(1), generator.normal(0.5, size=9).round(1)
    people = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5])
    pairs = [(a, b) for a in range(9) for b in range(9) if people[a] != people[b]]
    won = [(second[b] > first[a]) + (second[b] == first[a]) / 2 for a, b in pairs]
    assert oracle_auroc(first, second, people) == pytest.approx(np.mean(won))
    apart = oracle_auroc(first, second, np.arange(9))
    both = roc_auc_score([0] * 9 + [1] * 9, [*first, *second])
    own = np.mean([(b > a) + (b == a) / 2 for a, b in zip(first, second, strict=True)])
    assert (72 * apart + 9 * own) / 81 == pytest.approx(both)


def test_who_abstains_is_counted_and_too_few_are_refused():
    pixels, parts, people = coloured_eyes(30)
    with pytest.raises(InputError, match=r"0 people can be edited, 20 .*'fovea not known': 30"):
        strengths_for(0.7, pixels, parts, people, edits=("foveal_darkness",))


@pytest.mark.parametrize("auroc", [0.4, 1.0])
def test_an_auroc_no_edit_can_reach_is_refused(auroc):
    with pytest.raises(InputError, match=r"allowed: from 0\.5 to below 1"):
        strengths_for(auroc, *coloured_eyes(20))


def test_a_spread_too_wide_for_the_strongest_edit_is_refused():
    pixels, parts, people = coloured_eyes(20)
    pixels[:10, ..., 0], pixels[10:, ..., 0] = 2, 253
    with pytest.raises(InputError, match=r"hue reaches 0\.\d+ at its strongest"):
        strengths_for(0.99, pixels, parts, people, edits=("hue",))


def test_lengths_that_differ_and_one_person_alone_are_refused():
    pixels, parts, people = coloured_eyes(20)
    with pytest.raises(InputError, match="19 for 20 eyes with 20 parts"):
        strengths_for(0.7, pixels, parts, people[1:])
    with pytest.raises(InputError, match="one person alone"):
        oracle_auroc(np.zeros(2), np.ones(2), [1, 1])


@pytest.mark.slow
def test_strengths_found_on_half_the_people_hold_for_the_others():
    from fundus_ml.synthesis.edits.strengths import _measured  # noqa: PLC0415 (only here)

    pixels, parts, people = painted_eyes.eyes(200, size=96)
    half = slice(100)
    for name in EDITS[:-1]:
        found = strengths_for(0.7, pixels[half], parts[half], people[half], edits=(name,))[name]
        assert found.auroc == pytest.approx(0.7, abs=0.002), name
        others = [
            _measured(name, found.strength, eye)
            for eye in zip(pixels[100:], parts[100:], strict=True)
        ]
        first, second = np.array(others).T
        # The AUROC of 100 people has a standard error of about .03 itself, twice here.
        assert oracle_auroc(first, second, people[100:]) == pytest.approx(0.7, abs=0.1), name


@pytest.mark.parametrize("name", ["disc_magnification", "vessel_calibre"])
def test_of_a_warp_the_oracle_reads_the_part_that_was_found_and_what_is_added(name):
    """Measured on pixels, part of the shift is lost; the strength must not make up for that."""
    pixels, parts, people = painted_eyes.eyes(24, size=96)
    own, gained, seen = [], [], []
    for eye in zip(pixels, parts, strict=True):
        own.append(oracle_quantity(name, *eye, strength=0))
        low, high = (oracle_quantity(name, *eye, strength=sign * 0.4) for sign in (-1, 1))
        gained.append(high - low)
        blurred = [quantity(name, edit(name, *eye, strength=s), eye[1]) for s in (-0.4, 0.4)]
        seen.append(blurred[1] - blurred[0])
    step = {"disc_magnification": LOG_MAGNIFICATION, "vessel_calibre": LOG_CALIBRE}[name]
    np.testing.assert_allclose(gained, 0.8 * step)
    assert 0 < np.mean(seen) < 0.95 * 0.8 * step
    found = strengths_for(0.85, pixels, parts, people, edits=(name,))[name]
    apart = 2 * found.strength * step / np.std(own, ddof=1)
    assert found.between_classes == pytest.approx(apart)
    assert found.auroc == pytest.approx(0.85, abs=0.01)


def test_the_width_of_a_vessel_is_that_of_the_band_that_was_drawn():
    mask = np.zeros((128, 128), np.bool_)
    mask[60:66, 20:108] = True
    parts = EditedParts(retina=np.ones((128, 128), np.bool_), vessels=mask)
    width = np.exp(log_vessel_width(parts)) * 128
    assert width == pytest.approx(6, rel=0.12)
