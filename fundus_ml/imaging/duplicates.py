"""The same eye photographed twice: proposed by likeness, confirmed by where its vessels lie."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from fundus_ml.errors import InputError
from fundus_ml.imaging.keypoints import FEATURE_SHAPE, Keypoints, read_features
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.vlad import similar_eyes
from fundus_ml.parallel import in_order, one_thread

FEWEST_INLIERS = 16
"""Keypoints that agree in a confirmed pair at least."""
LEAST_SCORE = 12.0
"""Least score of a confirmed pair; among 4,949 eyes of ODIR two people reach 10.7 at most."""
LEAST_SPREAD = 0.22
"""Standard deviation, in radii, of the places that agree, in the direction where it is least:
a reflection or a patch of dust that two photographs share is smaller."""
BY_ACCIDENT = 0.06
"""Share of the keypoints of two people's eyes that agree, laid on each other as well as can be."""

_RATIO = 0.9
_TOLERANCE = 0.03
"""Distance, in radii, within which two places agree."""
_WIDER = (2.0, 1.5)
"""Tolerances of the refits, in ``_TOLERANCE``: the field's edge is imaged with another distortion
than its middle."""
_FEWEST_MATCHES = 6
_MOST_TRIALS = 500
_SCALES = (0.75, 1.33)
_MOST_ROTATION = 25.0
_MOST_STRETCH = 1.25
_SEEN = 0.93
"""Radius within which an eye has keypoints."""
_PAIRS_AT_ONCE = 64

Places = NDArray[np.float64]

COLUMNS = (
    "first", "second", "inliers", "score", "spread", "rotation", "scale", "shift_x", "shift_y",
)  # fmt: skip


class Evidence(NamedTuple):
    """What speaks for two photographs showing one eye.

    Attributes:
        inliers: Keypoints whose best match lies where the alignment puts it.
        possible: Keypoints that both photographs could show.
        spread: See :data:`LEAST_SPREAD`.
        rotation: Rotation of the second against the first, degrees clockwise.
        scale: Scale of the second over the first.
        shift_x: Where the first's centre lies in the second, radii to the right of its centre.
        shift_y: Likewise, downwards.
    """

    inliers: int
    possible: int
    spread: float
    rotation: float
    scale: float
    shift_x: float
    shift_y: float


def same_eye_pairs(
    features: NDArray[np.uint8],
    *,
    folders: NDArray[np.int64] | None = None,
    people: NDArray[np.int64] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Find the photographs that show the same eye.

    A short vector per eye proposes its nearest neighbours, so that only those are compared keypoint
    by keypoint. A pair is confirmed when far more keypoints agree under one rotation, scale and
    shift than two people's eyes would show by accident, spread over the field. Fellow eyes do not
    match, nor does an eye and its mirror image. Works in parallel inside
    :func:`fundus_ml.parallel.processes`.

    Args:
        features: ``(n, *FEATURE_SHAPE)`` uint8, one row of
            :func:`~fundus_ml.imaging.keypoints.describe_eye` per eye; memory-mapped when there are
            many: they are read block by block.
        folders: ``(n,)`` folder of each eye; given, only eyes of different folders are compared.
        people: ``(n,)`` person of each eye; given, only eyes of different people are compared.
        on_progress: Told how many of the proposed pairs are compared, and how many there are.

    Returns:
        One row per confirmed pair, :data:`COLUMNS`: positions ``first`` < ``second``, the fields of
        :class:`Evidence`, and ``score``: minus the decimal logarithm of the chance that as many
        keypoints agree by accident.

    Raises:
        InputError: ``features`` is of another shape or type.
    """
    if features.shape[1:] != FEATURE_SHAPE or features.dtype != np.uint8:
        raise InputError(
            f"features: must be uint8 (n, {FEATURE_SHAPE[0]}, {FEATURE_SHAPE[1]}), "
            f"not {features.dtype} {features.shape}"
        )
    # Keypoints come first in their eye.
    enough = np.flatnonzero(features[:, FEWEST_INLIERS - 1].any(axis=1))
    proposed = similar_eyes(features, enough, folders=folders)
    if people is not None:
        proposed = proposed[people[proposed[:, 0]] != people[proposed[:, 1]]]
    batches = [
        proposed[start : start + _PAIRS_AT_ONCE]
        for start in range(0, len(proposed), _PAIRS_AT_ONCE)
    ]
    found = []
    for done, rows in enumerate(in_order(partial(_compare, features), batches), start=1):
        found += rows
        if on_progress is not None:
            on_progress(min(done * _PAIRS_AT_ONCE, len(proposed)), len(proposed))
    return _confirmed(found)


def compare_eyes(first: Keypoints, second: Keypoints) -> Evidence | None:
    """Lay one eye on another as well as their keypoints allow.

    Args:
        first: Keypoints of one eye.
        second: The other.

    Returns:
        The evidence, or None where nothing aligns them.

    Source:
        Ratio test: Lowe 2004. Alignment: RANSAC, Fischler & Bolles 1981, then least squares over
        all mutual best matches.
    """
    similarity = first.descriptors @ second.descriptors.T
    similarity[:, ~second.present] = -1
    best, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    mutual = first.present & (back[best] == np.arange(len(best)))
    runner_up, closest = np.partition(similarity, -2, axis=1)[:, -2:].T
    telling = mutual & (1 - closest < _RATIO**2 * (1 - runner_up))
    if telling.sum() < _FEWEST_MATCHES:
        return None
    here, there = first.places, second.places[best]
    affine = _align(here, there, mutual, telling)
    if affine is None:
        return None
    agree = mutual & (_distances(affine, here, there) < _TOLERANCE)
    possible = min(
        _seen(affine, here[first.present]),
        _seen(
            np.asarray(cv2.invertAffineTransform(affine), np.float64), second.places[second.present]
        ),
    )
    return _evidence(affine, here[agree], possible)


def _compare(
    features: NDArray[np.uint8], pairs: NDArray[np.int64]
) -> list[tuple[int, int, Evidence]]:
    found = []
    with one_thread():
        for first, second in pairs.tolist():
            eyes = (read_features(np.asarray(features[position])) for position in (first, second))
            evidence = compare_eyes(*eyes)
            if evidence is not None:
                found.append((first, second, evidence))
    return found


def _align(
    here: Places, there: Places, mutual: NDArray[np.bool_], telling: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """``(2, 3)`` affine map from ``here`` to ``there``, or None when no plausible one is found."""
    found, _ = cv2.estimateAffinePartial2D(
        here[telling],
        there[telling],
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_MOST_TRIALS,
    )
    if found is None:
        return None
    affine = np.asarray(found, np.float64)
    for wider in _WIDER:
        close = mutual & (_distances(affine, here, there) < wider * _TOLERANCE)
        if close.sum() < _FEWEST_MATCHES:
            return None
        padded = np.pad(here[close], ((0, 0), (0, 1)), constant_values=1)
        affine = np.asarray(np.linalg.lstsq(padded, there[close])[0].T, np.float64)
    return affine if _plausible(affine) else None


def _plausible(affine: NDArray[np.float64]) -> bool:
    long, short = np.linalg.svd(affine[:, :2], compute_uv=False)
    rotation, scale = _turn(affine)
    return bool(
        long <= _MOST_STRETCH * short
        and _SCALES[0] < scale < _SCALES[1]
        and abs(rotation) < _MOST_ROTATION
    )


def _turn(affine: NDArray[np.float64]) -> tuple[float, float]:
    """Rotation in degrees and scale of the similarity nearest to an affine map."""
    along = (affine[0, 0] + affine[1, 1]) / 2
    across = (affine[1, 0] - affine[0, 1]) / 2
    return float(np.degrees(np.arctan2(across, along))), float(np.hypot(along, across))


def _moved(affine: NDArray[np.float64], places: Places) -> Places:
    return np.asarray(places @ affine[:, :2].T + affine[:, 2])


def _distances(affine: NDArray[np.float64], here: Places, there: Places) -> NDArray[np.float64]:
    return np.asarray(np.hypot(*(_moved(affine, here) - there).T))


def _seen(affine: NDArray[np.float64], places: Places) -> int:
    return int((np.hypot(*_moved(affine, places).T) < _SEEN).sum())


def _evidence(affine: NDArray[np.float64], agreeing: Places, possible: int) -> Evidence | None:
    if len(agreeing) < _FEWEST_MATCHES:
        return None
    rotation, scale = _turn(affine)
    return Evidence(
        inliers=len(agreeing),
        possible=max(possible, len(agreeing)),
        spread=float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(agreeing.T))[0]))),
        rotation=rotation,
        scale=scale,
        shift_x=float(affine[0, 2]),
        shift_y=float(affine[1, 2]),
    )


def _confirmed(found: list[tuple[int, int, Evidence]]) -> pd.DataFrame:
    frame = pd.DataFrame([evidence for *_, evidence in found], columns=Evidence._fields)
    frame["first"] = np.array([first for first, *_ in found], np.int64)
    frame["second"] = np.array([second for _, second, _ in found], np.int64)
    inliers, possible = (frame[name].to_numpy(np.int64) for name in ("inliers", "possible"))
    frame["score"] = -binom.logsf(inliers - 1, possible, BY_ACCIDENT) / np.log(10)
    sure = (
        (frame["inliers"] >= FEWEST_INLIERS)
        & (frame["score"] >= LEAST_SCORE)
        & (frame["spread"] >= LEAST_SPREAD)
    )
    return frame.loc[sure, list(COLUMNS)].reset_index(drop=True)
