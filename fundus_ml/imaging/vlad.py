"""Which eyes may be the same: one short vector per eye, compared with all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, TruncatedSVD

from fundus_ml.imaging.keypoints import Keypoints, read_features

NEIGHBOURS = 10
"""Eyes proposed for each eye."""
WORDS = 64
REDUCED = 48
"""Numbers kept of a descriptor."""
LENGTH = 256
"""Numbers in the vector of an eye."""

_LEARNED_EYES = 1500
_LEARNED_KEYPOINTS = 60_000
_BLOCK = 256
"""Eyes in memory at once."""

Floats = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


def similar_eyes(
    features: NDArray[np.uint8],
    eyes: NDArray[np.int64],
    *,
    neighbours: int = NEIGHBOURS,
    folders: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Propose for each eye those whose keypoints are most alike on the whole.

    The time for each further eye goes into describing it; comparing vectors grows with the square
    of the eyes, but 100,000 eyes take a few minutes.

    Args:
        features: ``(n, *FEATURE_SHAPE)`` uint8, may be memory-mapped.
        eyes: Ascending positions in ``features`` to compare; each has a keypoint.
        neighbours: Eyes proposed for each.
        folders: ``(n,)`` folder of each eye; given, only eyes of other folders are proposed.

    Returns:
        ``(m, 2)`` positions in ``features``, the lower one first, sorted, no pair twice.

    Source:
        Vectors of locally aggregated descriptors: Jégou et al. 2012, with residuals of one length
        (Delhumeau et al. 2013) and square roots.
    """
    if len(eyes) < 2:  # noqa: PLR2004 (a pair)
        return np.empty((0, 2), np.int64)
    vocabulary = _learn_vocabulary(features, eyes)
    vectors = _eye_vectors(features, eyes, vocabulary)
    apart = np.arange(len(eyes)) if folders is None else folders[eyes]
    near = _nearest(vectors, apart, min(neighbours, len(eyes) - 1))
    pairs = np.stack([np.repeat(np.arange(len(eyes)), near.shape[1]), near.ravel()], axis=1)
    pairs = pairs[apart[pairs[:, 0]] != apart[pairs[:, 1]]]
    return np.asarray(np.unique(np.sort(eyes[pairs], axis=1), axis=0), np.int64)


@dataclass(frozen=True)
class _Vocabulary:
    """Typical descriptors, and the directions in which descriptors differ most.

    Attributes:
        mean: ``(DESCRIPTOR,)``.
        axes: ``(DESCRIPTOR, r)``, r up to ``REDUCED``.
        words: ``(w, r)``, w up to ``WORDS``.
    """

    mean: Floats
    axes: Floats
    words: Floats

    def aggregate(self, keypoints: Keypoints) -> Floats:
        """Sum up per word how descriptors differ from it; ``(eyes, w * r)`` of length 1."""
        eyes, words = len(keypoints.present), len(self.words)
        reduced = (keypoints.descriptors[keypoints.present] - self.mean) @ self.axes
        nearest = np.argmax(reduced @ self.words.T - (self.words**2).sum(axis=1) / 2, axis=1)
        residuals = _unit(reduced - self.words[nearest])
        cell = np.nonzero(keypoints.present)[0] * words + nearest
        order = np.arange(len(cell))
        chosen = csr_matrix(
            (np.ones(len(cell), np.float32), (cell, order)), shape=(eyes * words, len(cell))
        )
        summed = np.asarray(chosen @ residuals, np.float32).reshape(eyes, -1)
        return _unit(np.sign(summed) * np.sqrt(np.abs(summed)))


def _learn_vocabulary(features: NDArray[np.uint8], eyes: NDArray[np.int64]) -> _Vocabulary:
    keypoints = read_features(features[_spread(eyes, _LEARNED_EYES)])
    descriptors = _spread(keypoints.descriptors[keypoints.present], _LEARNED_KEYPOINTS)
    reducer = PCA(min(REDUCED, len(descriptors)), svd_solver="covariance_eigh").fit(descriptors)
    mean, axes = reducer.mean_, np.ascontiguousarray(reducer.components_.T)
    means = MiniBatchKMeans(
        min(WORDS, len(descriptors)), random_state=0, n_init=1, batch_size=4096, max_iter=20
    )
    words = means.fit((descriptors - mean) @ axes).cluster_centers_
    return _Vocabulary(mean, axes, np.asarray(words, np.float32))


def _eye_vectors(
    features: NDArray[np.uint8], eyes: NDArray[np.int64], vocabulary: _Vocabulary
) -> Floats:
    """Reduce what the vocabulary says of each eye to ``(n, LENGTH)`` or less, of length 1."""
    sample = _spread(eyes, _LEARNED_EYES)
    learned = np.concatenate(
        [vocabulary.aggregate(read_features(features[block])) for block in _blocks(sample)]
    )
    reducer = TruncatedSVD(min(LENGTH, *learned.shape), random_state=0).fit(learned)
    axes = np.ascontiguousarray(reducer.components_.T, np.float32)
    return np.concatenate(
        [
            _unit(vocabulary.aggregate(read_features(features[block])) @ axes)
            for block in _blocks(eyes)
        ]
    )


def _nearest(vectors: Floats, apart: NDArray[np.int64], neighbours: int) -> NDArray[np.int64]:
    """Positions of the most similar vectors of another ``apart``, ``(n, neighbours)``.

    Where there are fewer, the rest are positions of the same ``apart``.
    """
    found = []
    for block in _blocks(np.arange(len(vectors))):
        similarity = vectors[block] @ vectors.T
        similarity[apart[block][:, None] == apart] = -np.inf
        found.append(np.argpartition(similarity, -neighbours, axis=1)[:, -neighbours:])
    return np.concatenate(found)


def _blocks(positions: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(positions), _BLOCK):
        yield positions[start : start + _BLOCK]


def _spread(rows: NDArray[Number], count: int) -> NDArray[Number]:
    """Take ``count`` rows at even distances, or all."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-6), np.float32)
