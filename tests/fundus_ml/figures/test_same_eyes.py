"""The sheet of pairs: the second eye is drawn where the first lies, and bad input is refused."""

import cv2
import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png
from fundus_ml.figures.same_eyes import align_second, checkerboard, same_eye_sheet
from fundus_ml.imaging.duplicates import same_eye_pairs
from fundus_ml.imaging.keypoints import describe_eye
from tests.fundus_ml.painted_views import altered, paint_photographs, view_of


@pytest.fixture(scope="module")
def views():
    """Two painted eyes, and the second once more, rotated."""
    _, photographs = paint_photographs(2, seed=6)
    rotated = altered(photographs[1], degrees=9, scale=1.0, quality=95)
    return np.stack([view_of(picture) for picture in (*photographs[:2], rotated)])


@pytest.fixture
def pairs():
    """One pair, aligned by nothing."""
    return pd.DataFrame(
        {"first": [1], "second": [2], "rotation": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}
    )


def test_what_the_search_found_lays_one_eye_on_the_other(views):
    pairs = same_eye_pairs(np.stack([describe_eye(view) for view in views]))
    assert pairs[["first", "second"]].to_numpy().tolist() == [[1, 2]]
    found = pairs.iloc[0][["rotation", "scale", "shift_x", "shift_y"]].to_dict()
    inner = slice(50, 206)

    def difference(view):
        return np.abs(view.astype(float) - views[1])[inner, inner].mean()

    assert difference(align_second(views[2], **found)) < 0.4 * difference(views[2])


def test_alignment_undoes_a_similarity_about_the_centre():
    rng = np.random.default_rng(1)
    first = cv2.GaussianBlur(rng.integers(0, 256, (90, 90, 3), dtype=np.uint8), (0, 0), 3)
    turn = cv2.getRotationMatrix2D((44.5, 44.5), -12, 1.1)
    turn[:, 2] += (0.1 * 45, -0.2 * 45)
    second = cv2.warpAffine(first, turn, (90, 90), flags=cv2.INTER_CUBIC)
    back = align_second(second, rotation=12, scale=1.1, shift_x=0.1, shift_y=-0.2)
    inner = slice(25, 65)
    assert np.abs(back.astype(int) - first)[inner, inner].max() <= 4


def test_an_alignment_by_nothing_changes_nothing(views):
    same = align_second(views[0], rotation=0, scale=1, shift_x=0, shift_y=0)
    np.testing.assert_array_equal(same, views[0])


def test_the_checkerboard_has_both_in_equal_parts():
    dark, light = np.zeros((60, 60, 3), np.uint8), np.full((60, 60, 3), 9, np.uint8)
    board = checkerboard(dark, light)
    assert board.mean() == 4.5
    assert not board[:10, :10].any()
    assert (board[:10, 10:20] == 9).all()


def test_each_pair_has_three_pictures_and_its_caption(views, pairs):
    pairs = pd.concat([pairs, pairs.assign(first=0, second=1), pairs], ignore_index=True)
    figure = same_eye_sheet(views, pairs, ["eyes $1$ and 2", "two people", "again"])
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 9
    np.testing.assert_array_equal(shown[0], views[1])
    np.testing.assert_array_equal(shown[4], views[1])
    np.testing.assert_array_equal(shown[5], checkerboard(views[0], views[1]))
    assert [text.get_text() for text in figure.texts] == ["eyes $1$ and 2", "two people", "again"]
    assert figure_png(figure) == figure_png(figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": np.zeros((3, 8, 8), np.uint8)}, "views: must be uint8"),
        ({"captions": ["one", "two"]}, "captions: 2 given for 1 pairs"),
        ({"columns": 0}, "columns=0: must be 1 or more"),
    ],
)
def test_bad_input_is_refused(views, pairs, change, message):
    given = {"views": views, "pairs": pairs, "captions": ["one"]} | change
    with pytest.raises(InputError, match=message):
        same_eye_sheet(**given)


def test_pairs_without_alignment_or_of_other_views_are_refused(views, pairs):
    with pytest.raises(InputError, match="columns missing: scale"):
        same_eye_sheet(views, pairs.drop(columns="scale"), ["one"])
    with pytest.raises(InputError, match="at least one row"):
        same_eye_sheet(views, pairs[:0], [])
    for wrong in (3, -1):
        with pytest.raises(InputError, match=r"pairs: views .* are named, 3 are given"):
            same_eye_sheet(views, pairs.assign(second=wrong), ["one"])
