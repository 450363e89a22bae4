"""Modulation in closed form on a linear network, the choice of eyes, and names of pictures."""

import numpy as np
import pandas as pd
import pytest
import torch

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png, to_images, to_uint8
from fundus_ml.modulation import (
    ModulationOptions,
    choose_eyes,
    file_stem,
    modulate,
    picture_name,
    targets_for,
    write_pictures,
)
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork

LABELS = np.array([0, 1, 1, 0, 1], np.float32)


def make_pixels(*, low=0, high=256, seed=0):
    """``(5, 6, 7, 3)`` uint8 eyes."""
    return np.random.default_rng(seed).integers(low, high, (5, 6, 7, 3), dtype=np.uint8)


def options(**changed):
    """Two budgets, few steps, exact passes."""
    usual = {"eps": (0.5, 2.0), "attack_steps": 4, "batch_size": 2, "precision": "fp32"}
    return ModulationOptions(**usual | changed)


@pytest.mark.parametrize(("mode", "target"), [("flip", 1 - LABELS), ("female", 0), ("male", 1)])
def test_linear_network_has_a_closed_form(mode, target):
    """Each eye moves by the whole budget along the weight, towards its target, then rounds."""
    model, pixels = LinearNetwork(6, 7), make_pixels(low=90, high=160)
    eps = (0.5, 1.0)
    found = modulate(model, pixels, LABELS, options(mode=mode, eps=eps))
    assert found.shape == (2, 5, 6, 7, 3)
    assert found.dtype == np.uint8
    along = model.weight.detach().permute(1, 2, 0).numpy()
    towards = np.broadcast_to(2 * np.asarray(target, float) - 1, 5).reshape(-1, 1, 1, 1)
    for slab, budget in zip(found, eps, strict=True):
        wanted = pixels + 255 * budget * towards * along / np.linalg.norm(along)
        np.testing.assert_allclose(slab, wanted, atol=0.5 + 1e-3)


@pytest.mark.parametrize(("constraint", "eps"), [("l2", (0.5, 2.0)), ("linf", (2 / 255, 8 / 255))])
def test_each_budget_is_its_own_attack(constraint, eps):
    """Every budget starts from the unchanged eye; batches change nothing."""
    model, pixels = SmallNetwork().train(), make_pixels()
    how = options(constraint=constraint, eps=eps, step_size=0.3)
    found = modulate(model, pixels, LABELS, how)
    labels = torch.from_numpy(LABELS)
    for slab, budget in zip(found, eps, strict=True):
        x_adv = pgd(
            model, to_images(pixels), labels, target=1 - labels, precision="fp32",
            threat=ThreatModel(constraint=constraint, eps=budget), step_size=0.3, attack_steps=4,
        )  # fmt: skip
        difference = slab.astype(int) - to_uint8(x_adv)
        assert np.abs(difference).max() <= 1
        assert (difference != 0).mean() < 0.01
        change = (slab.astype(float) - pixels) / 255
        sizes = (
            np.sqrt((change**2).sum(axis=(1, 2, 3)))
            if constraint == "l2"
            else np.abs(change).max(axis=(1, 2, 3))
        )
        rounding = 0.5 / 255 * (np.sqrt(change[0].size) if constraint == "l2" else 1)
        assert (sizes <= budget + rounding).all()
        assert (sizes > 0).all()
    assert np.array_equal(modulate(model, pixels, LABELS, how), found)


def test_targets_grow_likelier_with_the_budget():
    """P(target) rises from the eye through the budgets, for every eye."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    found = modulate(model, pixels, LABELS, options(attack_steps=10))
    with torch.no_grad():
        logits = torch.stack([model(to_images(slab)) for slab in (pixels, *found)])
    towards = logits * (1 - 2 * torch.from_numpy(LABELS))
    assert (towards[1:] > towards[:-1]).all()


def test_progress_counts_pictures():
    """Over all budgets, to the end."""
    steps = []
    modulate(
        LinearNetwork(6, 7), make_pixels(), LABELS, options(),
        on_step=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(2, 10), (4, 10), (5, 10), (7, 10), (9, 10), (10, 10)]


def test_targets():
    """The other sex, or one for all."""
    labels = torch.from_numpy(LABELS)
    assert targets_for("flip", labels).tolist() == [1, 0, 0, 1, 0]
    assert targets_for("female", labels).tolist() == [0] * 5
    assert targets_for("male", labels).tolist() == [1] * 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": "other"}, "mode=other: allowed: flip, female, male"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"eps": ()}, r"eps=\(\): budgets above 0"),
        ({"eps": (1.0, 0.0)}, "budgets above 0"),
        ({"eps": (1.0, 2.0, 1.0)}, "each once"),
        ({"eps": (4 / 255, 0.0156863)}, "each once to six digits"),
        ({"eps": (-1.0,)}, "eps=-1.0: must be a finite number"),
        ({"constraint": "l1"}, "constraint=l1: allowed"),
        ({"attack_steps": 0}, "attack_steps=0: must be at least 1"),
        ({"step_size": 0.0}, "step_size=0.0: must be auto"),
        ({"precision": "fp8"}, "precision=fp8: allowed"),
    ],
)
def test_options_refuse(changed, message):
    """Wrong settings end before any eye is read."""
    with pytest.raises(InputError, match=message):
        options(**changed)


def test_step_for_a_budget():
    """``auto`` follows the budget, a number does not."""
    assert options().step_for(2.0) == pytest.approx(2.5 * 2 / 4)
    assert options(step_size=0.3).step_for(2.0) == 0.3


@pytest.fixture(scope="module")
def people():
    """20 people, 12 of them female, with two eyes each, in no order."""
    person = np.repeat(np.arange(20), 2)
    frame = pd.DataFrame(
        {"person_group": [f"p{i}" for i in person], "sex": np.where(person < 12, "female", "male")}
    )
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
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"mode": "both"}, "mode=both: allowed: flip, female, male"),
    ],
)
def test_choice_refuses(people, given, message):
    """Too few people, or a number that makes no sense."""
    with pytest.raises(InputError, match=message):
        choose_eyes(people, **{"images": 4, "mode": "flip", "seed": 0} | given)


def test_pictures_are_written_without_loss(tmp_path):
    """``[budget][eye]`` paths, one file each, the same pixels in it."""
    modulated = np.stack([make_pixels(seed=seed) for seed in range(3)])
    ids = ["odir/0_left", "odir/0/left", "odir_0/left", "x/0 (1)", "x/0_(1)"]
    paths = write_pictures(modulated, ids, (4 / 255, 1.0, 2.5), tmp_path / "pictures")
    assert [len(row) for row in paths] == [5, 5, 5]
    assert len({path for row in paths for path in row}) == 15
    for i, row in enumerate(paths):
        for j, path in enumerate(row):
            assert np.array_equal(read_png(path), modulated[i, j])
            assert path.is_relative_to(tmp_path / "pictures")


def test_picture_name_says_eye_and_budget():
    """Plain names stay readable, and none leads out of its folder."""
    assert picture_name("odir/0_left", 4 / 255) == "odir_0_left/eps-0.0156863.png"
    assert picture_name("synthetic/3_left", 2.0) == "synthetic_3_left/eps-2.png"
    assert file_stem("x/../../etc").startswith("x_.._.._etc-")


def test_no_two_eyes_share_a_name():
    """Whatever stands for the slash, other characters and other slashes give other names."""
    ids = [
        "a/b_c", "a_b/c", "a/b/c", "a_b_c", "a/b c", "a/b-c", "a/b(c", "a/b.c", "a-b/c", "A/b_c",
        "a/é", "a/è", file_stem("a/b c").replace("_", "/", 1),
    ]  # fmt: skip
    stems = [file_stem(name) for name in ids]
    assert len(set(stems)) == len(ids)
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert set("".join(stems)) <= allowed
