"""Altered copies of painted eyes are found, other people's and fellow eyes are not."""

import math

import cv2
import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging import duplicates
from fundus_ml.imaging.duplicates import COLUMNS, Evidence, compare_eyes, same_eye_pairs
from fundus_ml.imaging.keypoints import FEATURE_SHAPE, Keypoints, describe_eye, read_features
from fundus_ml.parallel import processes
from tests.fundus_ml.painted_views import altered, paint_photographs, view_of

CHANGES = (
    {"degrees": 9.0, "scale": 1.0, "gain": 0.8},
    {"degrees": -8.0, "scale": 0.92, "shift": (20, -8)},
    {"degrees": 4.0, "scale": 1.05, "shift": (-15, 9), "gain": 1.15},
    {"degrees": 0.0, "scale": 0.9, "gain": 0.75},
)


@pytest.fixture(scope="module")
def planted():
    """Features of a dozen people's eyes, then of altered copies of the first four; the table."""
    table, photographs = paint_photographs(12, seed=3)
    copies = [
        altered(photograph, **change)
        for photograph, change in zip(photographs, CHANGES, strict=False)
    ]
    views = [view_of(photograph) for photograph in photographs + copies]
    return table, np.stack([describe_eye(view) for view in views])


def scattered(count, *, seed):
    """Keypoints of random places, each with a descriptor like no other."""
    rng = np.random.default_rng(seed)
    descriptors = np.abs(rng.normal(size=(count, 128)).astype(np.float32))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    places = rng.uniform(-0.55, 0.55, (count, 2))
    return Keypoints(descriptors, places, np.ones(count, bool))


def moved(keypoints, *, degrees, scale, shift=(0.0, 0.0), mirrored=False):
    angle = math.radians(degrees)
    turn = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    places = keypoints.places * ((-1, 1) if mirrored else (1, 1))
    return keypoints._replace(places=places @ turn.T + shift)


def found(features):
    pairs = same_eye_pairs(features)
    return set(zip(pairs["first"].tolist(), pairs["second"].tolist(), strict=True))


def test_altered_copies_are_found_and_nobody_else(planted):
    table, features = planted
    pairs = same_eye_pairs(features)
    assert tuple(pairs.columns) == COLUMNS
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [
        (eye, len(table) + eye) for eye in range(len(CHANGES))
    ]
    rotated = [change["degrees"] for change in CHANGES]
    np.testing.assert_allclose(pairs["rotation"], rotated, atol=0.7)
    # The crop takes scale and shift of the frame away again.
    np.testing.assert_allclose(pairs["scale"], 1, atol=0.02)
    np.testing.assert_allclose(pairs[["shift_x", "shift_y"]], 0, atol=0.03)
    assert pairs["score"].min() >= duplicates.LEAST_SCORE


def test_fellow_eyes_are_compared_and_do_not_match(planted):
    table, features = planted
    fellows = table.groupby("patient_id").indices.values()
    both = [eyes for eyes in fellows if len(eyes) == 2]
    assert len(both) > 5
    assert not any(found(features[eyes]) for eyes in both)


def test_dust_shared_by_two_people_joins_nobody():
    views = [view_of(photograph) for photograph in paint_photographs(4, seed=3)[1]]
    rng = np.random.default_rng(9)
    for x, y, radius in zip(*rng.integers(60, 196, (2, 25)), rng.integers(2, 7, 25), strict=True):
        for view in views:
            spot = np.zeros_like(view)
            cv2.circle(spot, (int(x), int(y)), int(radius), (60, 70, 50), -1, cv2.LINE_AA)
            cv2.add(view, cv2.GaussianBlur(spot, (0, 0), 1.5), dst=view)
    assert not found(np.stack([describe_eye(view) for view in views]))


def test_a_mirror_image_does_not_match():
    view = view_of(paint_photographs(1, seed=4)[1][0])
    features = np.stack([describe_eye(view), describe_eye(np.ascontiguousarray(view[:, ::-1]))])
    assert not found(features)


def test_a_pair_stays_when_others_come_or_rows_move(planted):
    table, features = planted
    alone = features[[1, len(table) + 1]]
    assert found(alone) == {(0, 1)}
    assert found(features[::-1]) == {
        (len(features) - 1 - second, len(features) - 1 - first) for first, second in found(features)
    }


def test_evidence_is_of_the_pair_alone(planted):
    table, features = planted
    alone = same_eye_pairs(features[[0, len(table)]])
    among = same_eye_pairs(features)
    assert alone.drop(columns=["first", "second"]).iloc[0].tolist() == (
        among.drop(columns=["first", "second"]).iloc[0].tolist()
    )


@pytest.fixture
def mapped(planted, tmp_path):
    """The features as a file that is mapped."""
    np.save(tmp_path / "features.npy", planted[1])
    return np.load(tmp_path / "features.npy", mmap_mode="r")


def test_mapped_features_give_the_same_and_progress_is_told(planted, mapped):
    told = []
    pairs = same_eye_pairs(mapped, on_progress=lambda done, of: told.append((done, of)))
    assert pairs.equals(same_eye_pairs(planted[1]))
    assert told[-1][0] == told[-1][1] > 0
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.slow
def test_processes_give_the_same(planted, mapped):
    with processes(workers=2):
        pairs = same_eye_pairs(mapped)
    assert pairs.equals(same_eye_pairs(planted[1]))


def test_eyes_without_keypoints_match_nobody(planted):
    _, features = planted
    empty = np.zeros((3, *FEATURE_SHAPE), np.uint8)
    none = same_eye_pairs(empty)
    assert none.empty
    assert tuple(none.columns) == COLUMNS
    assert none["first"].dtype == np.int64
    assert found(np.concatenate([empty, features])) == {
        (first + 3, second + 3) for first, second in found(features)
    }
    assert same_eye_pairs(empty[:0]).empty


@pytest.mark.parametrize(
    "features", [np.zeros((2, 5, 130), np.uint8), np.zeros((2, *FEATURE_SHAPE), np.float32)]
)
def test_other_features_are_refused(features):
    with pytest.raises(InputError, match=r"features: must be uint8 \(n, 128, 130\), not"):
        same_eye_pairs(features)


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (17, 0.85), (-20, 1.2)])
def test_the_alignment_is_recovered(degrees, scale):
    first = scattered(70, seed=8)
    second = moved(first, degrees=degrees, scale=scale, shift=(0.06, -0.04))
    evidence = compare_eyes(first, second)
    assert evidence.inliers == evidence.possible == 70
    np.testing.assert_allclose(evidence[3:], (degrees, scale, 0.06, -0.04), atol=1e-6)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(first.places.T))[0])
    assert evidence.spread == pytest.approx(spread)


def test_only_what_both_show_was_possible():
    first = scattered(70, seed=8)
    second = moved(first, degrees=0, scale=1.0, shift=(0.8, 0.0))
    evidence = compare_eyes(first, second)
    inside = np.hypot(*second.places.T) < 0.93
    shared = (inside & (np.hypot(*first.places.T) < 0.93)).sum()
    assert evidence.inliers == 70  # these drawn keypoints reach further than an eye's
    assert evidence.possible == max(70, shared)


@pytest.mark.parametrize(
    "change",
    [
        {"degrees": 40, "scale": 1.0},
        {"degrees": 0, "scale": 1.5},
        {"degrees": 0, "scale": 0.7},
        {"degrees": 0, "scale": 1.0, "mirrored": True},
    ],
)
def test_what_no_second_visit_explains_is_no_alignment(change):
    first = scattered(70, seed=8)
    assert compare_eyes(first, moved(first, **change)) is None


def test_strangers_and_too_few_keypoints_do_not_align():
    assert compare_eyes(scattered(70, seed=8), scattered(70, seed=9)) is None
    few = scattered(5, seed=8)
    assert compare_eyes(few, few) is None


def test_the_score_is_the_binomial_tail(planted):
    evidence = compare_eyes(*(read_features(planted[1][eye]) for eye in (0, -4)))
    pairs = duplicates._confirmed([(0, 1, evidence)])
    chance = math.fsum(
        math.comb(evidence.possible, k)
        * duplicates.BY_ACCIDENT**k
        * (1 - duplicates.BY_ACCIDENT) ** (evidence.possible - k)
        for k in range(evidence.inliers, evidence.possible + 1)
    )
    assert pairs["score"].item() == pytest.approx(-math.log10(chance))


@pytest.mark.parametrize(
    "weak", [{"inliers": 15}, {"spread": 0.21}, {"inliers": 24, "possible": 100}]
)
def test_each_kind_of_evidence_is_needed(weak):
    strong = Evidence(40, 80, 0.35, 0.0, 1.0, 0.0, 0.0)
    assert len(duplicates._confirmed([(0, 1, strong)])) == 1
    assert duplicates._confirmed([(0, 1, strong._replace(**{"possible": 20} | weak))]).empty
