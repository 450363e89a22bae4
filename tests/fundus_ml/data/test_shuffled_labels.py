"""Shuffled labels: nothing is learned from them, and all else stays."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.opening import open_dataset
from fundus_ml.data.options import check_labels, check_sides
from fundus_ml.data.shuffled_labels import labels_to_learn
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import make_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two eyes each of seventy people."""
    folder = tmp_path_factory.mktemp("eyes") / "data"
    make_dataset(folder, people={"train": 40, "val": 20, "test": 10})
    return open_dataset(str(folder))


def test_people_keep_one_sex_and_splits_their_numbers(dataset):
    """In training and validation; the test split keeps the truth, and pixels their place."""
    learned = labels_to_learn(dataset, "shuffled", seed=3)
    frame, truth = learned.frame, dataset.frame
    assert frame.groupby("person_group")["label"].nunique().max() == 1
    assert (frame["sex"] == np.where(frame["label"] == 1, "male", "female")).all()
    for split in ("train", "val"):
        rows = (frame["split"] == split).to_numpy()
        people, were = (
            table[rows].drop_duplicates("person_group")["label"] for table in (frame, truth)
        )
        assert people.sum() == were.sum()
        assert (frame[rows]["label"] != truth[rows]["label"]).any()
    test = (frame["split"] == "test").to_numpy()
    pd.testing.assert_frame_equal(frame[test], truth[test])
    others = truth.columns.difference(["label", "sex"])
    pd.testing.assert_frame_equal(frame[others], truth[others])
    assert np.array_equal(learned.pixels([0, 5]), dataset.pixels([0, 5]))
    assert learned.digest == dataset.digest
    assert np.array_equal(learned.labels, labels_to_learn(dataset, "shuffled", seed=3).labels)


def test_deals_have_nothing_to_do_with_the_truth(dataset):
    """Over many deals a man is as likely to be called one as the share of men says."""
    frame = dataset.frame
    people = frame[frame["split"] == "train"].drop_duplicates("person_group")
    mean = people["label"].mean()
    deals = [
        labels_to_learn(dataset, "shuffled", seed=seed).frame.loc[people.index, "label"].to_numpy()
        for seed in range(200)
    ]
    men = people["label"].to_numpy() == 1
    called = np.mean(deals, axis=0)
    assert called[men].mean() == pytest.approx(mean, abs=0.04)
    assert called[~men].mean() == pytest.approx(mean, abs=0.04)


def test_the_truth_is_the_dataset_itself(dataset):
    """And another word is refused."""
    assert labels_to_learn(dataset, "true", seed=0) is dataset
    with pytest.raises(InputError, match="labels=random: allowed: true, shuffled, eye, age"):
        check_labels("random", augment="none")
    check_labels("eye", augment="none")
    with pytest.raises(InputError, match="labels=eye: augment=flip mirrors a left eye"):
        check_labels("eye", augment="flip")
    with pytest.raises(InputError, match="labels=eye: both_flips answers alike"):
        check_labels("eye", augment="none", both_flips=True)
    check_labels("age", augment="flip", both_flips=True)
    with pytest.raises(InputError, match="contrast=eye: head=grid answers alike for a left eye"):
        check_sides("contrast=eye", augment="none", head="grid")
