"""The augmentation sheet shows the pictures it was given, each in its place."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.augmentations import augmentation_sheet
from fundus_ml.figures.style import figure_png

CAPTIONS = ["odir/2125_right", "brset/img00001"]


@pytest.fixture
def eyes():
    """Two eyes and three changes of each, wider than high."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, size=(2, 4, 10, 14, 3), dtype=np.uint8)
    return pictures[:, 0], pictures[:, 1:]


def test_rows_hold_the_eye_and_then_its_changes(eyes):
    original, augmented = eyes
    figure = augmentation_sheet(original, augmented, CAPTIONS, title="augment=full")
    assert len(figure.axes) == 8
    for place, axes in enumerate(figure.axes):
        eye, change = divmod(place, 4)
        expected = original[eye] if change == 0 else augmented[eye, change - 1]
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)


def test_captions_stand_whole_beside_their_rows_and_the_title_above(eyes):
    figure = augmentation_sheet(*eyes, CAPTIONS, title="augment=full")
    figure_png(figure, dpi=int(figure.dpi))
    labels = [figure.axes[place].yaxis.label for place in (0, 4)]
    assert [label.get_text() for label in labels] == CAPTIONS
    width = figure.bbox.width
    for label in labels:
        box = label.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width
    assert figure.get_suptitle() == "augment=full"


def test_shapes_that_do_not_match_are_refused(eyes):
    original, augmented = eyes
    for wrong in (augmented[:1], augmented[:, :, :5], augmented[0]):
        with pytest.raises(InputError, match="augmented: shape"):
            augmentation_sheet(original, wrong, CAPTIONS)
    with pytest.raises(InputError, match="original: must be uint8"):
        augmentation_sheet(original.astype(float), augmented, CAPTIONS)
    with pytest.raises(InputError, match="augmented: must be uint8"):
        augmentation_sheet(original, augmented.astype(float), CAPTIONS)
    with pytest.raises(InputError, match="captions: 1 given for 2 pictures"):
        augmentation_sheet(original, augmented, CAPTIONS[:1])
