"""A folder of marks is read as it was written, or refused in one line."""

from collections import Counter

import pytest

from fundus_ml.errors import InputError
from fundus_ml.region_training.marks import MarkedEye, read_marks
from tests.fundus_ml.region_training.tiny_marks import marked_folder, write_table


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marks")
    rows, truths = marked_folder(folder, patients=2)
    return folder, rows, truths


@pytest.fixture
def rewritten(marked, tmp_path):
    """Give the table with its first row changed, beside the same photographs."""
    folder, rows, _ = marked
    (tmp_path / "images").symlink_to(folder / "images")

    def rewrite(**changes):
        write_table(tmp_path, [rows[0] | changes, *rows[1:]])
        return tmp_path

    return rewrite


def test_marks_lie_where_they_were_painted(marked):
    folder, rows, truths = marked
    eyes = read_marks(folder)
    assert [eye.path.name for eye in eyes] == [row["image"] for row in rows]
    for eye, truth in zip(eyes, truths, strict=True):
        disc, fovea = eye.disc(*truth.shape), eye.fovea_at(*truth.shape)
        assert (disc.x, disc.y) == pytest.approx((truth.disc.x, truth.disc.y))
        assert (disc.width, disc.height) == pytest.approx((truth.disc.width, truth.disc.height))
        assert (fovea.x, fovea.y) == pytest.approx((truth.fovea.x, truth.fovea.y))
        assert eye.source == "painted"


def test_a_part_that_is_not_marked_is_none(rewritten):
    nothing = dict.fromkeys(("disc_cx", "disc_cy", "disc_w", "disc_h"), "")
    first, second = read_marks(rewritten(**nothing))[:2]
    assert first.disc(100, 100) is None
    assert first.fovea_at(100, 100) is not None
    assert second.disc(100, 100) is not None
    first, *_ = read_marks(rewritten(fovea_cx="", fovea_cy=""))
    assert first.fovea_at(100, 100) is None


def test_names_decide_the_part(tmp_path):
    """The same on every machine, about 48, 12 and 40 of 100."""
    eyes = [MarkedEye(tmp_path / f"{n:04d}.jpg", None, None, "") for n in range(2000)]
    counts = Counter(eye.part for eye in eyes)
    assert counts["train"] == pytest.approx(960, abs=80)
    assert counts["val"] == pytest.approx(240, abs=50)
    assert counts["test"] == pytest.approx(800, abs=80)
    assert MarkedEye(tmp_path / "0002.jpg", None, None, "").part == eyes[2].part == "test"


def test_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no anatomy\.csv"):
        read_marks(tmp_path)


def test_a_missing_column_is_refused(marked, tmp_path):
    text = (marked[0] / "anatomy.csv").read_text().replace("disc_w", "width")
    (tmp_path / "anatomy.csv").write_text(text)
    with pytest.raises(InputError, match=r"anatomy.csv lacks the column disc_w$"):
        read_marks(tmp_path)


def test_a_table_without_rows_is_refused(tmp_path):
    write_table(tmp_path, [])
    with pytest.raises(InputError, match="has no rows"):
        read_marks(tmp_path)


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "anatomy.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(InputError, match=r"anatomy\.csv cannot be read"):
        read_marks(tmp_path)


def test_a_missing_photograph_is_refused(rewritten):
    with pytest.raises(InputError, match=r"images/nobody\.jpg is missing"):
        read_marks(rewritten(image="nobody.jpg"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disc_cx": "left"}, "disc_cx=left; allowed: a fraction of the frame, or nothing"),
        ({"disc_cx": 240.5}, r"disc_cx=240.5; allowed: a fraction of the frame, 0 to 1"),
        ({"fovea_cy": -0.1}, r"fovea_cy=-0.1; allowed: a fraction"),
        ({"disc_h": ""}, r"disc_h=nan; allowed: a fraction .* nothing for the whole part"),
        ({"disc_w": 0}, r"disc_w=0.0, disc_h=.*; both must be above 0"),
    ],
)
def test_a_value_out_of_range_is_refused(rewritten, changes, said):
    with pytest.raises(InputError, match=said) as caught:
        read_marks(rewritten(**changes))
    assert "\n" not in str(caught.value)
