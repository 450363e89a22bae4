"""A network that reads shortcuts adds nothing to them; one that reads something else does."""

import numpy as np
import pytest

from benchmarks.network_gain import one_cohort
from fundus_ml.auditing.columns import TREES, Shortcut
from fundus_ml.auditing.network_gain import (
    NetworkGain,
    ShortcutScores,
    network_gain,
    shortcut_scores,
)
from fundus_ml.statistics.bootstrap import Interval


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def people(rng, count=300):
    """Labels, a shortcut that they go with, and two eyes each."""
    labels = rng.integers(0, 2, count)
    shortcut = 0.5 * labels + rng.normal(size=count)
    eyes = np.repeat(np.arange(count), 2)
    return labels, shortcut, eyes


def test_what_the_network_reads_beside_the_shortcut_counts_and_the_shortcut_itself_does_not(rng):
    labels, shortcut, eyes = people(rng)
    scores = ShortcutScores(shortcut[eyes], *2 * [shortcut[eyes, None]])
    copied = network_gain(labels[eyes], shortcut[eyes] ** 3, eyes, scores, resamples=200)
    assert not copied.adds
    anatomy = shortcut + labels + rng.normal(size=len(labels))
    found = network_gain(labels[eyes], anatomy[eyes], eyes, scores, resamples=200)
    assert found.adds
    assert found.gain.low > 0.03
    assert found.people == 300
    assert "the network adds to the fitted shortcuts: AUROC per person +0." in str(found)


def test_a_second_eye_that_says_the_same_is_no_second_person(rng):
    labels, shortcut, eyes = people(rng)
    network = rng.normal(size=len(labels))
    one = ShortcutScores(shortcut, *2 * [shortcut[:, None]])
    two = ShortcutScores(shortcut[eyes], *2 * [shortcut[eyes, None]])
    single = network_gain(labels, network, np.arange(300), one, resamples=100)
    assert network_gain(labels[eyes], network[eyes], eyes, two, resamples=100) == single


def test_people_under_both_labels_are_left_out_and_too_few_say_so(rng):
    labels, shortcut, eyes = people(rng, 30)
    mixed = labels[eyes]
    mixed[0] ^= 1
    scores = ShortcutScores(shortcut[eyes], *2 * [shortcut[eyes, None]])
    found = network_gain(mixed, shortcut[eyes], eyes, scores)
    assert (found.people, found.gain, found.adds) == (29, None, False)
    assert "people of one class are too few, 20 of each are needed" in str(found)
    assert set(found.record()) == {"people", "reason"}


def test_scores_of_all_shortcuts_come_from_other_people(rng):
    labels, shortcut, eyes = people(rng)
    whole = Shortcut(TREES, known=False, design=shortcut[eyes, None])
    scores = shortcut_scores([whole], labels[eyes], eyes, seed=0)
    np.testing.assert_array_equal(scores.logits[::2], scores.logits[1::2])
    assert scores.design is whole.design


def test_a_gain_says_that_nothing_was_shown():
    said = str(NetworkGain(people=400, gain=Interval(0.0, -0.01, 0.01)))
    assert said == (
        "the network is not shown to add to the fitted shortcuts: AUROC per person +0.000 (-0.010 "
        "to +0.010), 400 people"
    )


@pytest.mark.slow
def test_false_alarms_stay_at_their_level_where_the_network_reads_shortcuts_alone():
    found = [one_cohort(1000, 400, seed) for seed in range(40)]
    for name in ("shortcuts only", "noise"):
        assert sum(row[name][1] > 0 for row in found) <= 3
    assert np.mean([row["anatomy"][0] for row in found]) > 0.015
