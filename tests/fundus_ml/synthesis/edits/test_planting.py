"""Labels are coins by person; every eye is rendered as its label and can be rendered otherwise."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Landmark
from fundus_ml.synthesis.edits import (
    Confound,
    EditedParts,
    edit,
    planted_labels,
    planted_photographs,
)

SHAPE = (22, 26)


def small_eyes(people, *, eyes_each=2, known=True):
    count = people * eyes_each
    fovea = Landmark(x=12, y=10)
    down, across = np.mgrid[: SHAPE[0], : SHAPE[1]]
    retina = np.hypot(down - 10.5, across - 12.5) <= 10
    parts = [
        EditedParts(retina=retina, fovea=fovea if known or at % 3 else None) for at in range(count)
    ]
    pixels = np.random.default_rng(1).integers(60, 180, (count, *SHAPE, 3)).astype(np.uint8)
    return (
        pixels * retina[..., None],
        parts,
        np.repeat([f"p{at}" for at in range(people)], eyes_each),
    )


def test_labels_are_coins_of_people():
    people = np.repeat(np.arange(4000), 2)
    labels = planted_labels(people, 3)
    assert (labels[::2] == labels[1::2]).all()
    assert labels.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(labels, planted_labels(people, 3))
    assert (labels[::2] == planted_labels(people, 4)[::2]).mean() == pytest.approx(0.5, abs=0.03)


def test_every_eye_is_rendered_as_its_label():
    pixels, parts, people = small_eyes(6)
    made = planted_photographs(pixels, parts, people, edit="hue", strength=0.5, seed=0)
    assert set(made.labels) == {0, 1}
    other = made.counterfactual("hue")
    for at, label in enumerate(made.labels):
        sign = 2 * label - 1
        own = edit("hue", pixels[at], parts[at], strength=0.5 * sign)
        np.testing.assert_array_equal(made.pixels[at], own)
        swapped = edit("hue", pixels[at], parts[at], strength=-0.5 * sign)
        np.testing.assert_array_equal(other[at], swapped)
    np.testing.assert_array_equal(made.as_class("hue", 0), pixels)


def test_an_edit_that_is_not_planted_is_made_on_top():
    pixels, parts, people = small_eyes(3)
    made = planted_photographs(pixels, parts, people, edit="hue", strength=0.5, seed=0)
    notched = made.as_class("border_notch", 1, strength=0.8)
    expected = [
        edit("border_notch", eye, own, strength=0.8)
        for eye, own in zip(made.pixels, parts, strict=True)
    ]
    np.testing.assert_array_equal(notched, np.stack(expected))


def test_labels_without_a_cause_leave_the_pixels_alone():
    pixels, parts, people = small_eyes(5)
    made = planted_photographs(pixels, parts, people, edit="none", strength=0.0, seed=2)
    np.testing.assert_array_equal(made.pixels, pixels)
    np.testing.assert_array_equal(made.counterfactual("none"), pixels)


def test_a_confound_follows_the_label_as_closely_as_asked_and_where_asked():
    pixels, parts, people = small_eyes(1500, eyes_each=1)
    train = np.arange(1500) < 1000
    made = planted_photographs(
        pixels,
        parts,
        people,
        edit="none",
        strength=0,
        seed=1,
        confounds=[
            Confound(edit="border_notch", strength=0.4, correlation=0.7),
            Confound(edit="hue", strength=0.1, correlation=1.0, where=train),
        ],
    )
    truth = 2 * made.labels - 1
    notch, hue = made.signs["border_notch"], made.signs["hue"]
    assert np.corrcoef(notch, truth)[0, 1] == pytest.approx(0.7, abs=0.05)
    assert (hue == truth)[train].all()
    assert np.corrcoef(hue[~train], truth[~train])[0, 1] == pytest.approx(0, abs=0.12)


def test_the_counterfactual_of_one_edit_leaves_the_other():
    pixels, parts, people = small_eyes(4)
    confound = Confound(edit="border_notch", strength=1.0, correlation=1.0)
    made = planted_photographs(
        pixels, parts, people, edit="hue", strength=0.3, seed=0, confounds=[confound]
    )
    for at, label in enumerate(made.labels):
        sign = 2 * label - 1
        hued = edit("hue", pixels[at], parts[at], strength=0.3 * sign)
        swapped = edit("border_notch", hued, parts[at], strength=-1.0 * sign)
        np.testing.assert_array_equal(made.counterfactual("border_notch")[at], swapped)


def test_eyes_whose_part_is_not_known_are_left_out_and_counted():
    pixels, parts, people = small_eyes(6, known=False)
    made = planted_photographs(pixels, parts, people, edit="foveal_darkness", strength=0.5, seed=0)
    assert made.abstained == {"fovea not known": 4}
    assert made.kept.tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    np.testing.assert_array_equal(made.labels, planted_labels(people, 0)[made.kept])
    confound = Confound(edit="foveal_darkness", strength=0.5)
    other = planted_photographs(
        pixels, parts, people, edit="hue", strength=0.2, seed=0, confounds=[confound]
    )
    assert (other.signs["foveal_darkness"] == 0).tolist() == [at % 3 == 0 for at in range(12)]
    first = edit("hue", pixels[0], parts[0], strength=0.2 * (2 * other.labels[0] - 1))
    np.testing.assert_array_equal(other.as_class("foveal_darkness", 1)[0], first)


def test_what_cannot_be_planted_is_refused():
    pixels, parts, people = small_eyes(2)

    def plant(**changed):
        asked = {"edit": "hue", "strength": 0.5, "seed": 0} | changed
        return planted_photographs(pixels, parts, people, **asked)

    with pytest.raises(InputError, match="each edit may be planted once"):
        plant(confounds=[Confound(edit="hue", strength=0.1)])
    with pytest.raises(InputError, match=r"no eye can be edited: \{'disc not known': 4\}"):
        plant(edit="ring_colour")
    with pytest.raises(InputError, match="3 for 4 eyes with 4 parts"):
        planted_photographs(pixels, parts, people[1:], edit="hue", strength=0.5, seed=0)
    with pytest.raises(InputError, match="where: 1 for 4 eyes"):
        plant(confounds=[Confound(edit="border_notch", strength=1, where=np.ones(1, np.bool_))])
    with pytest.raises(InputError, match=r"correlation=1\.2: allowed: -1 to 1"):
        Confound(edit="hue", strength=0.1, correlation=1.2)
    with pytest.raises(InputError, match="seed=-1: must be from 0"):
        planted_labels(people, -1)
    made = plant()
    with pytest.raises(InputError, match="sign=2: allowed: -1, 0, 1"):
        made.as_class("hue", 2)
    with pytest.raises(InputError, match="border_notch is not planted, so it needs one"):
        made.as_class("border_notch", 1)
    with pytest.raises(InputError, match="edit=border_notch: planted are hue"):
        made.counterfactual("border_notch")
