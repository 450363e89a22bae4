"""Pairs kept on disk: read back whole, or not at all."""

import pandas as pd
import pytest

from fundus_ml.data.kept_links import keep_links, kept_links

PAIRS = pd.DataFrame(
    {"first": ["a/0", "a/1"], "second": ["b/1", "b/0"], "inliers": [31, 17], "score": [0.1, 12.5]}
)
EYES = pd.Series(["a/0", "a/1", "b/0", "b/1"])
KEY = "0f" * 32


def test_pairs_read_back_to_the_last_bit(tmp_path):
    """Also where there is none; under another key there is nothing."""
    for pairs in (PAIRS, PAIRS.iloc[:0]):
        assert keep_links(tmp_path / "new" / "links", KEY, pairs) == ""
        found = kept_links(tmp_path / "new" / "links", KEY, EYES)
        pd.testing.assert_frame_equal(found, pairs, check_dtype=bool(len(pairs)))
    assert kept_links(tmp_path / "new" / "links", "1" * 64, EYES) is None
    assert kept_links(tmp_path, KEY, EYES) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "{",
        lambda _: "[]",
        lambda _: "{}",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace("a/0", "b/0"),
        lambda whole: whole.replace("31", "32"),
        lambda whole: whole.replace("0f0f", "0e0f"),
        lambda whole: whole.replace('"pairs": {', '"pairs": 3, "more": {'),
    ],
)
def test_a_damaged_file_holds_no_pairs(tmp_path, damage):
    keep_links(tmp_path, KEY, PAIRS)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(damage(whole))
    assert path.read_text() != whole
    assert kept_links(tmp_path, KEY, EYES) is None


def test_pairs_of_eyes_that_are_not_there_are_not_believed(tmp_path):
    keep_links(tmp_path, KEY, PAIRS)
    assert kept_links(tmp_path, KEY, EYES[:3]) is None


def test_a_folder_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("mine")
    said = keep_links(tmp_path / "file" / "links", KEY, PAIRS)
    assert said.startswith(f"{tmp_path / 'file' / 'links'} cannot be written (Not a directory)")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
