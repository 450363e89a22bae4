"""Mean maps: against scipy, a slow rewrite of the maximum statistic, and how often they err."""

from itertools import permutations as orders
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from fundus_ml.errors import InputError
from fundus_ml.statistics.mean_maps import difference_map, sign_flip_map


def draw(seed, people, pixels):
    return np.random.default_rng(seed).normal(size=(people, pixels))


def test_the_statistics_are_those_of_scipy():
    values, second = draw(0, 11, 5), np.arange(11) % 3 == 0
    found = sign_flip_map(values, np.arange(11), permutations=0)
    np.testing.assert_allclose(found.statistic, ttest_1samp(values, 0).statistic)
    np.testing.assert_allclose(found.mean, values.mean(axis=0))
    assert found.largest == np.abs(found.statistic).max()
    assert np.isnan(found.pvalue).all()
    apart = difference_map(values, second, np.arange(11), permutations=0)
    wanted = ttest_ind(values[second], values[~second], equal_var=False).statistic
    np.testing.assert_allclose(apart.statistic, wanted)
    np.testing.assert_allclose(apart.mean, values[second].mean(0) - values[~second].mean(0))
    assert np.isnan(apart.pvalue_alone).all()


def test_every_sign_vector_by_a_slow_rewrite():
    """Two eyes of a person are one map, and flip as one."""
    eyes, person = draw(1, 12, 4) + np.array([0, 0.3, 0.8, 2]), np.repeat(np.arange(6), 2)
    maps = eyes.reshape(6, 2, 4).mean(axis=1)
    flipped = [
        np.abs(ttest_1samp(maps * np.array(signs)[:, None], 0).statistic)
        for signs in product((-1, 1), repeat=6)
    ]
    own = np.abs(ttest_1samp(maps, 0).statistic)
    found = sign_flip_map(eyes, person)
    largest = np.max(flipped, axis=1)
    np.testing.assert_allclose(found.pvalue, [(largest >= t - 1e-6).mean() for t in own])
    np.testing.assert_allclose(found.pvalue_alone, (np.array(flipped) >= own - 1e-6).mean(axis=0))
    assert found.people.tolist() == [6] * 4


def test_labels_are_shuffled_as_by_a_slow_rewrite():
    values, second = draw(2, 7, 3), np.array([1, 0, 1, 0, 1, 0, 0], bool)
    values[second, 1] += 2.5
    found = difference_map(values, second, np.arange(7), permutations=6000, seed=3)
    labels = set(orders(second.tolist()))
    shuffled = [
        np.abs(
            ttest_ind(values[np.array(each)], values[~np.array(each)], equal_var=False).statistic
        )
        for each in labels
    ]
    own = np.abs(found.statistic)
    exact = [(np.max(shuffled, axis=1) >= t - 1e-9).mean() for t in own]
    np.testing.assert_allclose(found.pvalue, exact, atol=0.02)
    np.testing.assert_allclose(
        found.pvalue_alone, (np.array(shuffled) >= own - 1e-9).mean(axis=0), atol=0.02
    )


def test_a_person_in_both_classes_swaps_their_own_two():
    """People differ by far more than their two maps do: only all swaps alike reach it."""
    of_person, second = 50 * draw(3, 6, 2).repeat(2, axis=0), np.tile([False, True], 6)
    values = of_person + second[:, None] * [1.0, 0.0] + 0.01 * draw(4, 12, 2)
    found = difference_map(values, second, np.repeat(np.arange(6), 2), permutations=2000)
    assert found.pvalue_alone[0] == pytest.approx(2 / 64, abs=0.015)
    assert found.pvalue_alone[1] > 0.05
    assert found.mean[0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("test", [sign_flip_map, difference_map])
def test_noise_is_found_no_more_often_than_claimed(test):
    """100 studies of correlated, heavy-tailed noise; two eyes of a person are alike."""
    hits = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        maps = generator.standard_t(5, (14, 60)) + generator.normal(size=(14, 1))
        eyes = maps.repeat(2, axis=0) + 0.1 * generator.normal(size=(28, 60))
        person = np.repeat(np.arange(14), 2)
        given = {"groups": person, "permutations": 99, "seed": seed}
        if test is difference_map:
            # What is alike in both classes cancels.
            eyes, given = eyes + 5, given | {"second": person % 3 == 0}
        hits += np.nanmin(test(eyes, **given).pvalue) <= 0.05
    assert hits <= 11  # above which binomial(100, 0.05) lies once in 200


def test_a_person_counted_as_many_would_be_found_too_often():
    """Eight copies of each of six people: as 48 people noise is significant, as six it is not."""
    values = draw(11, 6, 30).repeat(8, axis=0)
    alone = sign_flip_map(values, np.arange(48), permutations=199)
    assert alone.pvalue.min() <= 0.05
    assert sign_flip_map(values, np.repeat(np.arange(6), 8)).pvalue.min() > 0.05


def test_missing_pixels_and_those_without_spread_are_not_tested():
    values, second = draw(5, 12, 5), np.arange(12) % 2 == 0
    values[:8, 1] = np.nan
    values[:, 2], values[:, 3] = np.nan, 0.0
    values[:2, 4] = np.nan
    for found in (
        sign_flip_map(values, np.arange(12), permutations=50),
        difference_map(values, second, np.arange(12), permutations=50),
    ):
        assert np.isnan(found.pvalue).tolist() == [False, True, True, True, False]
        assert found.people.tolist() == [12, 4, 0, 12, 10]
    kept = sign_flip_map(values[2:, 4:], np.arange(10), permutations=0)
    whole = sign_flip_map(values, np.arange(12), permutations=0)
    assert whole.statistic[4] == pytest.approx(kept.statistic[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": np.ones(4)}, r"values: shape must be \(n, V\), not \(4,\)"),
        ({"values": np.full((4, 2), np.inf)}, "values: infinite"),
        ({"permutations": -1}, r"permutations=-1: must be 0 \(no test\) or more"),
        ({"groups": [1, 2, 3]}, "groups"),
        ({"second": [True, False, False, False]}, "second: 3 and 1 people in the two classes"),
        ({"second": [True, False]}, "second"),
    ],
)
def test_refusals(changed, message):
    given = {"values": np.ones((4, 2)), "second": [True, True, False, False], "groups": range(4)}
    with pytest.raises(InputError, match=message):
        difference_map(**given | changed)
