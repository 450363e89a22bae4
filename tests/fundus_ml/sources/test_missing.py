"""What a user reads when no photograph is where the table says."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.brset import brset_photographs
from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.sources.tiny_releases import place, write_brset


def release(root, name):
    (root / "labels.csv").write_text(f"file,patient_id,sex\n{name},1,f\n", encoding="utf-8")
    return folder_photographs(root)


@pytest.mark.parametrize(
    ("lies", "named", "advice"),
    [
        ("images/a.jpg", "a.jpg", "{root}, which holds images/, labels.csv; {same} images/a.jpg"),
        ("a.jpg", "photos/a.jpg", "{root}, which holds a.jpg, labels.csv; {same} a.jpg"),
        ("x/y/A.JPG", "x/a.jpg", "{root}/x, which holds y/; {same} x/y/A.JPG"),
        ("x/img_0001.jpg", "x/img_1.jpg", "{root}/x, which holds img_0001.jpg"),
        (
            "image/a.jpg",
            "images/a.jpg",
            "{root}, which holds image/ and 1 more; {same} image/a.jpg",
        ),
        ("x\ny.jpg", "x.jpg", "{root}, which holds x y.jpg and 1 more"),
    ],
)
def test_the_line_says_where_was_looked_and_what_lies_there(tmp_path, lies, named, advice):
    place(tmp_path, lies)
    photographs = release(tmp_path, named)
    told = advice.format(root=tmp_path, same="a file of that name is")
    told += " below root; write that path" if "{same}" in advice else ""
    assert photographs.advice == f"{named} was looked for in {told}"
    with pytest.raises(InputError) as caught:
        preprocess(photographs, tmp_path / "out", PreprocessingOptions(), recipe={})
    assert str(caught.value) == (
        f"source folder: no eye is left (1 file missing): {photographs.advice}"
    )


def test_many_names_are_counted_and_the_nearest_shown(tmp_path):
    place(tmp_path, *(f"images/{n:03}_left.jpg" for n in range(40)))
    assert "which holds 0" in release(tmp_path, "images/2_left.jpg").advice
    assert release(tmp_path, "images/2_left.jpg").advice.endswith(" and 37 more")


def test_a_published_release_in_the_wrong_folder_says_so_too(tmp_path):
    write_brset(tmp_path, {}, {"patient_id": "2"})
    (tmp_path / "fundus_photos").rename(tmp_path / "photos")
    advice = brset_photographs(tmp_path).advice
    assert advice.startswith(f"fundus_photos/img00001.jpg was looked for in {tmp_path}, which ")
    assert "; a file of that name is photos/img00001.jpg below root" in advice


def test_a_few_missing_files_are_only_listed(tmp_path):
    place(tmp_path, "a.jpg")
    (tmp_path / "labels.csv").write_text("file,patient_id,sex\na.jpg,1,f\nb.jpg,2,m\n")
    photographs = folder_photographs(tmp_path)
    assert photographs.advice == ""
    assert len(photographs.rejected) == 1
