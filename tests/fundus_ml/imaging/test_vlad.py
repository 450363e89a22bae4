"""Proposed neighbours against a slow rewrite and plain sorting."""

import numpy as np
import pytest

from fundus_ml.imaging import vlad
from fundus_ml.imaging.keypoints import DESCRIPTOR, FEATURE_SHAPE, Keypoints, read_features


def make_features(count, *, seed):
    """Eyes of random descriptors, all unlike each other."""
    rng = np.random.default_rng(seed)
    features = np.zeros((count, *FEATURE_SHAPE), np.uint8)
    drawn = rng.gamma(0.5, 30, (count, FEATURE_SHAPE[0], DESCRIPTOR))
    features[..., :DESCRIPTOR] = drawn.clip(0, 255)
    return features


def blurred(features, *, seed):
    """The same eyes, described a little differently."""
    noise = np.random.default_rng(seed).integers(-3, 4, features.shape)
    return (features + noise).clip(0, 255).astype(np.uint8)


def test_few_eyes_are_all_compared():
    pairs = vlad.similar_eyes(make_features(6, seed=1), np.array([0, 2, 3, 5]))
    assert pairs.tolist() == [[0, 2], [0, 3], [0, 5], [2, 3], [2, 5], [3, 5]]


@pytest.mark.parametrize("eyes", [[], [4]])
def test_less_than_two_eyes_make_no_pair(eyes):
    pairs = vlad.similar_eyes(make_features(6, seed=1), np.array(eyes, np.int64))
    assert pairs.shape == (0, 2)


def test_copies_are_proposed_once_among_many_eyes():
    originals = make_features(70, seed=3)
    features = np.concatenate([originals, blurred(originals[:20], seed=4)])
    pairs = vlad.similar_eyes(features, np.arange(90), neighbours=2)
    found = {tuple(pair) for pair in pairs.tolist()}
    assert {(eye, 70 + eye) for eye in range(20)} <= found
    assert len(found) == len(pairs) <= 180
    assert all(first < second for first, second in found)
    np.testing.assert_array_equal(pairs, vlad.similar_eyes(features, np.arange(90), neighbours=2))


def test_aggregation_is_the_sum_of_unit_residuals():
    keypoints = read_features(make_features(3, seed=5))
    present = keypoints.present.copy()
    present[1, 40:] = False
    keypoints = Keypoints(keypoints.descriptors, keypoints.places, present)
    rng = np.random.default_rng(6)
    mean = keypoints.descriptors.mean(axis=(0, 1))
    axes = np.linalg.qr(rng.normal(size=(DESCRIPTOR, 5)))[0].astype(np.float32)
    words = rng.normal(scale=0.2, size=(4, 5)).astype(np.float32)
    slow = np.zeros((3, 4, 5))
    for eye in range(3):
        for descriptor in keypoints.descriptors[eye][present[eye]]:
            reduced = (descriptor - mean) @ axes
            word = np.argmin([np.sum((reduced - word) ** 2) for word in words])
            residual = reduced - words[word]
            slow[eye, word] += residual / np.linalg.norm(residual)
    slow = np.sign(slow) * np.sqrt(np.abs(slow))
    slow = np.stack([eye.ravel() / np.linalg.norm(eye) for eye in slow])
    fast = vlad._Vocabulary(mean, axes, words).aggregate(keypoints)
    np.testing.assert_allclose(fast, slow, atol=1e-4)


def test_of_several_folders_only_eyes_of_others_are_proposed():
    rng = np.random.default_rng(8)
    vectors = rng.normal(size=(vlad._BLOCK + 40, 9)).astype(np.float32)
    folders = rng.integers(0, 3, len(vectors))
    near = vlad._nearest(vectors, folders, 4)
    for eye in (0, 255, 256, 290):
        similarity = np.where(folders == folders[eye], -np.inf, vectors @ vectors[eye])
        assert set(near[eye]) == set(np.argsort(similarity)[-4:])


def test_nearest_over_blocks_is_plain_sorting():
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(2 * vlad._BLOCK + 33, 9)).astype(np.float32)
    near = vlad._nearest(vectors, np.arange(len(vectors)), 4)
    for eye in (0, 255, 256, 300, 544):
        similarity = vectors @ vectors[eye]
        similarity[eye] = -np.inf
        assert set(near[eye]) == set(np.argsort(similarity)[-4:])
