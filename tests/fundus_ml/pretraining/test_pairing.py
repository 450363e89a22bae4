"""Who pairs with whom, and what the two views share."""

from collections import Counter

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.pretraining import pairing
from fundus_ml.pretraining.pairing import Pairing
from tests.fundus_ml.tiny_learning import make_dataset


@pytest.fixture
def train(eyes):
    return eyes.split("train")


def with_columns(dataset, **columns):
    """The same pixels under another table."""
    changed = dataset.select(np.arange(len(dataset)))
    changed.frame = changed.frame.assign(**columns)
    return changed


@pytest.fixture
def unchanged(monkeypatch):
    """Views that are the photographs themselves, but for the mirroring of pairs."""
    monkeypatch.setattr(pairing, "VIEW", pairing.Augmentation())


def images_of(dataset, rows):
    return to_images(dataset.pixels(rows))


@pytest.mark.usefixtures("unchanged")
def test_a_photograph_pairs_with_itself(train):
    """Both views are mirrored, or neither; over many draws half of them are."""
    rows = torch.arange(24).repeat(40)
    images = images_of(train, rows.numpy())
    one, two = Pairing(train, "photograph").views(rows, images, generator=torch.Generator())
    assert torch.equal(one, two)
    mirrored = (one == images.flip(3)).flatten(1).all(dim=1)
    assert torch.equal(one[~mirrored], images[~mirrored])
    assert 0.42 < mirrored.float().mean() < 0.58


@pytest.mark.usefixtures("unchanged")
def test_a_person_pairs_eye_with_mirrored_fellow(train):
    """Anatomy lies alike: the second view is the other eye, mirrored the way of the first."""
    rows = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    paired = Pairing(train, "person")
    assert paired.paired == 24
    one, two = paired.views(rows, images_of(train, rows.numpy()), generator=torch.Generator())
    fellow = images_of(train, rows.numpy() ^ 1)  # rows 2k and 2k + 1 are one person's eyes
    own = images_of(train, rows.numpy())
    mirrored = (one == own.flip(3)).flatten(1).all(dim=1)
    assert 0 < mirrored.sum() < 24
    assert torch.equal(two[mirrored], fellow[mirrored])
    assert torch.equal(two[~mirrored], fellow[~mirrored].flip(3))


@pytest.mark.usefixtures("unchanged")
def test_another_photograph_of_the_same_eye_is_not_mirrored(train):
    """Only the fellow eye is."""
    same = with_columns(train, eye="right")
    rows = torch.arange(24)
    images = images_of(same, rows.numpy())
    one, two = Pairing(same, "person").views(rows, images, generator=torch.Generator())
    assert torch.equal(
        (one == images).flatten(1).all(1), (two == images[rows ^ 1]).flatten(1).all(1)
    )


@pytest.mark.usefixtures("unchanged")
def test_photographs_of_unknown_side_pair_with_themselves(train):
    """Nobody can say which way they lie."""
    sides = train.frame["eye"].where(np.arange(24) >= 4, "unknown")
    partly = with_columns(train, eye=sides)
    paired = Pairing(partly, "person")
    assert paired.paired == 20
    drawn = paired.partners(np.arange(24), np.zeros(24, np.float32))
    assert drawn.tolist() == [0, 1, 2, 3, *(np.arange(4, 24) ^ 1)]


def test_each_other_photograph_of_a_person_is_drawn_equally(train):
    """People with more than two; never the photograph itself."""
    people = ["a"] * 5 + ["b"] * 3 + ["c"] + [f"d{k}" for k in range(15)]
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(24)
    crowd = with_columns(train, person_group=np.array(people)[shuffled])
    paired = Pairing(crowd, "person")
    assert paired.paired == 8
    group = crowd.frame["person_group"].to_numpy()
    for row in range(24):
        uniform = (np.arange(120, dtype=np.float32) + 0.5) / 120
        drawn = Counter(paired.partners(np.full(120, row), uniform).tolist())
        others = [o for o in range(24) if group[o] == group[row] and o != row]
        wanted = {other: 120 // len(others) for other in others} if others else {row: 120}
        assert drawn == wanted


@pytest.mark.parametrize("pairs", ["photograph", "person"])
def test_a_share_of_a_batch_gets_the_views_of_the_whole(train, pairs):
    """Several processes learn from what one would."""
    rows = torch.tensor([3, 9, 4, 20, 11, 0])
    images = images_of(train, rows.numpy())
    paired = Pairing(train, pairs)
    whole = paired.views(rows, images, generator=torch.Generator().manual_seed(4))
    share = paired.views(
        rows[2:5], images[2:5], generator=torch.Generator().manual_seed(4), first=2, of=6
    )
    for view, part in zip(whole, share, strict=True):
        torch.testing.assert_close(view[2:5], part)
    assert not torch.equal(*whole)
    again = paired.views(rows, images, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(whole[0], again[0])


def test_other_pairs_are_refused(train):
    with pytest.raises(InputError, match="pairs=patient: allowed: photograph, person"):
        Pairing(train, "patient")


def test_pairs_of_nobody_are_refused(tmp_path):
    """As in a release of one photograph per person."""
    dataset = make_dataset(tmp_path / "tiny", people={"train": 3})
    alone = dataset.select(dataset.frame["eye"].eq("left").to_numpy())
    with pytest.raises(InputError, match="pairs=person: nobody in tiny has two photographs"):
        Pairing(alone, "person")
