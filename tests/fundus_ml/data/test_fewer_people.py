"""Part of the people: whole people, both sexes alike, smaller shares inside larger ones."""

from itertools import pairwise

import pytest

from fundus_ml.data import fewer_people
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import make_dataset


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 40}).split(
        "train"
    )


def people(eyes):
    return set(eyes.frame["person_group"])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_share_is_nested_in_a_larger_one(eyes, seed):
    kept = [fewer_people(eyes, share, seed=seed) for share in (0.01, 0.25, 0.5, 1)]
    assert [len(people(part)) for part in kept] == [2, 10, 20, 40]
    for smaller, larger in pairwise(kept):
        assert people(smaller) < people(larger)
    for part in kept:
        assert part.frame.groupby("label")["person_group"].nunique().nunique() == 1
        assert len(part) == eyes.frame["person_group"].isin(people(part)).sum()


def test_a_seed_draws_others(eyes):
    drawn = [people(fewer_people(eyes, 0.5, seed=seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert people(fewer_people(eyes, 0.5, seed=0)) == drawn[0]


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_another_share_is_refused(eyes, share):
    line = f"train_people={share}: must be above 0 and at most 1"
    with pytest.raises(InputError, match=line):
        fewer_people(eyes, share, seed=0)
