"""Changes that ask no network: as long as they should be, and where they should be."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.modulation import (
    CONTRAST_BLEND,
    CONTROL_DIRECTIONS,
    blend_partners,
    control_pictures,
)

LENGTHS = np.array([[0.3, 0.4], [1.0, 1.5], [4.0, 5.0]])


@pytest.fixture(scope="module")
def eyes():
    """``(2, 48, 40, 3)``: grey, with a dark line down and a bright half."""
    eyes = np.full((2, 48, 40, 3), 120, np.uint8)
    eyes[:, :, 10:12] = 60
    eyes[:, :, 25:] = 170
    return eyes


def lengths_of(eyes, pictures):
    """``(E, N)`` Euclidean lengths of pixels in [0, 1]."""
    return np.sqrt((((pictures.astype(float) - eyes) / 255) ** 2).sum(axis=(2, 3, 4)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("control", [*CONTROL_DIRECTIONS, CONTRAST_BLEND])
def test_as_long_as_asked_and_never_longer(eyes, control, masked):
    """To a few thousandths; nothing outside the mask moves; the seed alone decides."""
    allowed = np.zeros(eyes.shape[:3], bool)
    allowed[:, 5:40, 6:38] = True
    partners = np.random.default_rng(0).integers(0, 256, eyes.shape, dtype=np.uint8)
    how = {"seed": 1, "partners": partners}
    if masked:
        how["allowed"] = allowed
    pictures = control_pictures(control, eyes, LENGTHS, **how)
    assert pictures.shape == (3, *eyes.shape)
    found = lengths_of(eyes, pictures)
    assert (found <= LENGTHS + 1e-9).all()
    assert (found > 0.93 * LENGTHS).all()
    assert (found[1:] > 0.99 * LENGTHS[1:]).all()
    assert np.array_equal(control_pictures(control, eyes, LENGTHS, **how), pictures)
    if masked:
        changed = (pictures != eyes).any(axis=(0, 4))
        assert not changed[~allowed].any()


def energy(eyes, control):
    """``(H, W)`` of the longest change, over both eyes."""
    pictures = control_pictures(control, eyes, LENGTHS, seed=0)
    return ((pictures[-1].astype(float) - eyes) ** 2).sum(axis=(0, 3))


def test_each_goes_where_its_name_says(eyes):
    """Evenly; to the middle; to the edges; to the dark line."""
    assert (
        np.ptp(energy(eyes, "random direction").reshape(4, 12, 40).mean((1, 2)))
        < 0.2 * energy(eyes, "random direction").mean()
    )
    centre = energy(eyes, "centre prior")
    assert centre[20:28, 16:24].mean() > 3 * centre[:6, :6].mean()
    edges = energy(eyes, "edge map")
    on_edge = np.isin(np.arange(40), (9, 10, 11, 12, 24, 25))
    assert edges[:, on_edge].sum() > 0.99 * edges.sum()
    vessels = energy(eyes, "vessel map")
    assert vessels[:, 10:12].sum() == vessels.sum()


def test_a_blend_ends_at_its_partner(eyes):
    """Where the partner is nearer than the length, the partner is what comes out."""
    partners = np.where(np.arange(40)[:, None] < 3, eyes + 3, eyes).astype(np.uint8)
    pictures = control_pictures(CONTRAST_BLEND, eyes, LENGTHS, seed=0, partners=partners)
    assert np.array_equal(pictures[-1], partners)


def test_nothing_changes_at_length_nought(eyes):
    """Nor where nothing may."""
    for control in CONTROL_DIRECTIONS:
        still = control_pictures(control, eyes, 0 * LENGTHS, seed=0)
        assert (still == eyes).all()
    none = np.zeros(eyes.shape[:3], bool)
    still = control_pictures("edge map", eyes, LENGTHS, seed=0, allowed=none)
    assert (still == eyes).all()


def test_partners_are_other_people_of_the_target_class():
    """Drawn by the seed."""
    frame = pd.DataFrame(
        {"label": [0, 0, 1, 1, 1, 0], "person_group": ["a", "b", "c", "c", "d", "a"]}
    )
    chosen, target = frame.iloc[[0, 2, 3]], np.array([0, 1, 0], np.float32)
    draws = [blend_partners(frame, chosen, target, seed=seed).tolist() for seed in range(30)]
    assert {draw[0] for draw in draws} == {1}
    assert {draw[1] for draw in draws} == {4}
    assert {draw[2] for draw in draws} == {0, 1, 5}
    with pytest.raises(InputError, match="contrast blend: no other person's eye"):
        blend_partners(frame.iloc[:2], frame.iloc[:1], np.array([1.0]), seed=0)


def test_refuses(eyes):
    """A name that is none, a blend towards nobody."""
    with pytest.raises(InputError, match=r"control=blur: allowed: random direction, .*contrast bl"):
        control_pictures("blur", eyes, LENGTHS, seed=0)
    with pytest.raises(InputError, match="control=contrast blend: needs partners"):
        control_pictures(CONTRAST_BLEND, eyes, LENGTHS, seed=0)
