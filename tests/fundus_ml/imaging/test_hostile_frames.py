"""A slice of the benchmark of hostile frames: nothing wrong is taken without a word."""

import pytest

from benchmarks.hostile_frames import FAMILIES, OUTCOMES, Painter, judge

SLICE = 6
ONE_EYE = ("sound", "cut", "four arcs", "atrophy")
SEVERAL = ("pair", "mosaic", "inset")


@pytest.fixture(scope="module")
def painter():
    """Few eyes, in frames small enough for a test."""
    painter = Painter(people=2, seed=3)
    painter.sizes = (320, 420)
    return painter


def outcomes(painter, family):
    """What became of a few frames of a family."""
    frames = [FAMILIES[family](painter) for _ in range(SLICE)]
    return [judge(frame, painter.file(frame)).outcome for frame in frames]


@pytest.mark.parametrize("family", ONE_EYE)
def test_one_eye_is_taken_where_it_is_or_not_at_all(painter, family):
    """Most are, none silently wrong."""
    found = outcomes(painter, family)
    assert set(found) <= set(OUTCOMES) - {"silent"}
    assert found.count("right") >= SLICE // 2


@pytest.mark.parametrize("family", SEVERAL)
def test_several_eyes_in_one_frame_are_flagged_or_refused(painter, family):
    """Never taken as one of them."""
    assert set(outcomes(painter, family)) <= {"flagged", "refused"}
