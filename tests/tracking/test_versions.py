"""What a version says of itself in its tags, in the words of this release and of those before."""

import json

import pytest

from tracking.versions import ModelVersion


@pytest.mark.parametrize(
    ("tag", "classes"),
    [
        (json.dumps(["no, never", "yes"]), ("no, never", "yes")),
        (json.dumps(["größer", 'a "b"'], ensure_ascii=False), ("größer", 'a "b"')),
        ("female,male", ("female", "male")),
        ("1,2", ("1", "2")),
        ("[1,2]", ("[1", "2]")),
        ("no,yes, daily", ("no", "yes, daily")),
    ],
)
def test_classes_are_read_as_json_and_as_older_releases_wrote_them(tag, classes):
    assert ModelVersion("fundus-smoker", 1, "m-1", "0", {"classes": tag}).classes == classes


@pytest.mark.parametrize("tags", [{}, {"classes": ""}, {"classes": "one"}])
def test_a_version_that_names_no_two_classes_has_none(tags):
    assert ModelVersion("fundus-pretrained", 1, "m-1", "0", tags).classes == ()
