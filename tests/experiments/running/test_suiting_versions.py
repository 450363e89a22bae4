"""A version meets only squares of the part of the eye that it knows, and its own classes."""

from types import SimpleNamespace

import pytest

from experiments.running.session import check_classes, check_part_of_eye, part_tags
from fundus_ml.data.contrasts import Contrast
from fundus_ml.errors import InputError
from fundus_ml.imaging.options import CropOptions
from tests.experiments.running.test_null_models import say

pytestmark = pytest.mark.usefixtures("versions")

DISC = {"around": "disc", "around_width": "0.35"}


def shown(**crop):
    return SimpleNamespace(crop=CropOptions(**crop))


@pytest.mark.parametrize(
    ("tags", "crop", "line"),
    [
        ({}, {"around": "disc"}, "shows discs alone; models:/eye/1 knows whole eyes"),
        (DISC, {}, "shows whole eyes; models:/eye/1 knows discs alone"),
        (
            DISC,
            {"around": "disc", "around_width": 0.5},
            "squares are 0.5 fields of view wide; models:/eye/1 knows those of 0.35",
        ),
    ],
)
def test_other_parts_and_other_widths_are_refused(tags, crop, line):
    with pytest.raises(InputError, match=f"^dataset=eyes: {line}$"):
        check_part_of_eye(shown(**crop), "eyes", [say(1, **tags).uri])


@pytest.mark.parametrize(
    ("tags", "crop"),
    [
        ({}, {"around_width": 0.5}),
        (DISC, {"around": "disc"}),
        ({"around": "disc"}, {"around": "disc", "around_width": 0.5}),
        ({"around": "border"}, {"around": "border", "around_width": 0.5}),
    ],
)
def test_the_same_part_is_taken_and_an_older_version_tells_no_width(tags, crop):
    check_part_of_eye(shown(**crop), "eyes", [say(1, **tags).uri])


def test_a_version_says_its_part_and_of_squares_around_one_the_width():
    assert part_tags(CropOptions()) == {}
    assert part_tags(CropOptions(around="border")) == {"around": "border"}
    assert part_tags(CropOptions(around="disc")) == DISC


@pytest.mark.parametrize("told", ['["never, ever", "yes"]', "no,yes", ""])
def test_other_classes_of_the_same_column_are_refused(told):
    """Class 1 of one table may be class 0 of another."""
    uri = say(1, classes=told).uri
    asked = Contrast("smoker", ("current", "never"))
    if not told:
        check_classes(SimpleNamespace(contrast=asked), "eyes", [uri])
        return
    first = "never, ever" if told.startswith("[") else "no"
    line = f"contrast=smoker: its classes are current and never; {uri} knows {first} and yes"
    with pytest.raises(InputError, match=f"^dataset=eyes: {line}$"):
        check_classes(SimpleNamespace(contrast=asked), "eyes", [uri])
    check_classes(SimpleNamespace(contrast=Contrast("smoker", (first, "yes"))), "eyes", [uri])
