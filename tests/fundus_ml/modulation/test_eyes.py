"""The choice of eyes, what stands in for them, and where each is pushed."""

import numpy as np
import pandas as pd
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.modulation import choose_eyes, noise_like, targets_for
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels


def test_targets():
    """The other sex, one for all, off what the network says, or further into the own."""
    labels, logit = torch.from_numpy(LABELS), torch.tensor([-1.0, -1.0, 2.0, 2.0, 0.0])
    assert targets_for("flip", labels).tolist() == [1, 0, 0, 1, 0]
    assert targets_for("female", labels).tolist() == [0] * 5
    assert targets_for("male", labels).tolist() == [1] * 5
    assert targets_for("enhance", labels).tolist() == [0, 1, 1, 0, 1]
    assert targets_for("disrupt", labels, logit).tolist() == [1, 1, 0, 0, 1]


def test_noise_keeps_the_colours_alone():
    """Mean and spread per channel stay; a pixel says nothing of its neighbour or of the eye."""
    eyes = np.zeros((3, 60, 50, 3), np.uint8)
    eyes[:, 10:50, 5:45] = np.array([[90, 60, 30], [100, 80, 60], [120, 90, 50]])[:, None, None]
    noise = noise_like(eyes, seed=1)
    for eye, drawn in zip(eyes.astype(float), noise.astype(float), strict=True):
        clipped = (
            np.random.default_rng(0)
            .normal(eye.mean((0, 1)), eye.std((0, 1)), (100_000, 3))
            .clip(0, 255)
        )
        np.testing.assert_allclose(drawn.mean((0, 1)), clipped.mean(0), atol=3)
        np.testing.assert_allclose(drawn.std((0, 1)), clipped.std(0), atol=3)
        green = drawn[..., 1] - drawn[..., 1].mean()
        assert abs((green[:, 1:] * green[:, :-1]).mean()) < 0.1 * green.var()
        assert abs(np.corrcoef(green.ravel(), eye[..., 1].ravel())[0, 1]) < 0.06
    assert np.array_equal(noise_like(eyes[1:2], seed=1)[0], noise[1])
    assert not np.array_equal(noise_like(eyes, seed=2), noise)
    assert not np.array_equal(noise_like(make_pixels(), seed=0), make_pixels())


@pytest.fixture(scope="module")
def people():
    """20 people, 12 of them female, with two eyes each, in no order."""
    person = np.repeat(np.arange(20), 2)
    frame = pd.DataFrame(
        {"person_group": [f"p{i}" for i in person], "sex": np.where(person < 12, "female", "male")}
    ).assign(label=(person >= 12).astype(int))
    return frame.sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    ("mode", "images", "counts"),
    [
        ("flip", 8, {"female": 4, "male": 4}),
        ("flip", 7, {"female": 4, "male": 3}),
        ("flip", 1, {"female": 1}),
        ("flip", 17, {"female": 9, "male": 8}),
        ("female", 5, {"male": 5}),
        ("male", 12, {"female": 12}),
        ("disrupt", 8, {"female": 4, "male": 4}),
        ("enhance", 6, {"female": 3, "male": 3}),
    ],
)
def test_one_eye_per_person_and_the_sexes_balanced(people, mode, images, counts):
    """Positions, ascending; a mode takes the eyes it can push."""
    chosen = choose_eyes(people, images=images, mode=mode, seed=3)
    eyes = people.iloc[chosen]
    assert (np.diff(chosen) > 0).all()
    assert eyes["person_group"].is_unique
    assert eyes["sex"].value_counts().to_dict() == counts


def test_the_choice_depends_on_the_seed(people):
    """Same seed, same eyes; over seeds every eye has its turn, left and right."""
    draws = [choose_eyes(people, images=8, mode="flip", seed=seed) for seed in range(40)]
    again = choose_eyes(people, images=8, mode="flip", seed=0)
    assert np.array_equal(draws[0], again)
    assert set(np.concatenate(draws)) == set(range(40))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": 18}, "images=18: needs 9 male people in this split, which has 8"),
        ({"images": 9, "mode": "female"}, "images=9: needs 9 male people"),
        ({"images": 0}, "images=0: must be at least 1"),
        ({"seed": -1}, "seed=-1: must be from 0 to 4294967295"),
        ({"mode": "both"}, "mode=both: allowed: flip, female, male, disrupt, enhance"),
    ],
)
def test_choice_refuses(people, given, message):
    """Too few people, or a number that makes no sense."""
    with pytest.raises(InputError, match=message):
        choose_eyes(people, **{"images": 4, "mode": "flip", "seed": 0} | given)


def test_a_finding_in_one_eye_is_enough():
    """Twenty people with glaucoma in one eye: all of them are found, and nobody twice."""
    people = np.repeat([f"p{number}" for number in range(40)], 2)
    label = np.where(np.arange(80) < 40, np.arange(80) % 2, 0)
    frame = pd.DataFrame({"person_group": people, "label": label})
    classes = ("healthy", "glaucoma")
    chosen = choose_eyes(frame, images=40, mode="flip", seed=0, classes=classes)
    assert frame["label"].iloc[chosen].sum() == 20
    assert frame["person_group"].iloc[chosen].is_unique
    with pytest.raises(InputError, match=r"needs 21 glaucoma people .* which has 20"):
        choose_eyes(frame, images=42, mode="flip", seed=0, classes=classes)


def in_one_or_both(*, ill, well, both):
    """People whose eyes are all ill, all well, or one of each, in this order."""
    labels = [1, 1] * ill + [0, 0] * well + [1, 0] * both
    people = np.repeat(np.arange(ill + well + both), 2)
    return pd.DataFrame({"person_group": people, "label": labels})


@pytest.mark.parametrize(
    ("ill", "well", "both", "images"),
    [(3, 1, 3, 6), (0, 0, 6, 6), (5, 1, 6, 12), (2, 3, 1, 6), (4, 4, 0, 7)],
)
def test_whoever_can_be_chosen_is_chosen_by_every_seed(ill, well, both, images):
    """People of both classes are not spent on the rarer one where the other needs them."""
    frame = in_one_or_both(ill=ill, well=well, both=both)
    for seed in range(30):
        chosen = choose_eyes(
            frame, images=images, mode="flip", seed=seed, classes=("healthy", "glaucoma")
        )
        eyes = frame.iloc[chosen]
        assert eyes["person_group"].is_unique
        assert eyes["label"].sum() == images // 2
        assert len(eyes) == images


def test_more_eyes_than_people_are_refused_though_either_class_has_enough():
    frame = in_one_or_both(ill=1, well=1, both=3)
    with pytest.raises(InputError, match="images=6: needs 6 people in this split, which has 5"):
        choose_eyes(frame, images=6, mode="flip", seed=0, classes=("healthy", "glaucoma"))


def test_people_of_both_classes_may_stand_for_the_rarer_one_where_the_other_can_spare_them():
    """None is passed over for having a healthy eye as well."""
    frame = in_one_or_both(ill=2, well=20, both=4)
    drawn = [choose_eyes(frame, images=4, mode="flip", seed=seed) for seed in range(40)]
    ill = {int(eye) for chosen in drawn for eye in chosen if frame["label"].iloc[eye] == 1}
    assert set(frame["person_group"].iloc[sorted(ill)]) == {0, 1, 22, 23, 24, 25}
