"""Sheets of eyes: every one under its caption, and beside its change."""

import numpy as np

from fundus_ml import figures
from tests.fundus_ml.figures.drawn import fits


def test_sheet_shows_every_eye_under_its_caption(eyes):
    """Pictures in order, a caption below each, long ones wrapped inside the page."""
    captions = [f"odir/{place}_left\nfemale {50 + place}" for place in range(6)]
    captions.append("a/very/long/identifier/without/any/space/0123456789_right")
    figure = figures.sample_sheet(eyes, captions, columns=3)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(np.stack(shown), eyes)
    texts = [text.get_text() for text in figure.texts]
    assert texts[:6] == captions[:6]
    assert texts[6].replace("\n", "") == captions[6]
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 3
    assert fits(figure)


def test_sheet_keeps_pictures_and_captions_apart(eyes):
    """No caption runs over another caption or a picture."""
    figure = figures.sample_sheet(eyes, ["WWWW " * 8] * 7, columns=4)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    assert all(box.count_overlaps(boxes[:index]) == 0 for index, box in enumerate(boxes))


def test_contact_sheet_pairs_each_eye_with_its_change(eyes, rng):
    """Original, modulated, change; every change on one scale centred at 0."""
    after = np.clip(eyes + rng.integers(-9, 10, size=eyes.shape), 0, 255).astype(np.uint8)
    figure = figures.contact_sheet(eyes, after, [f"eye {place}" for place in range(7)])
    cells, bar = figure.axes[:-1], figure.axes[-1]
    assert len(cells) == 21
    shown = [axes.images[0] for axes in cells]
    np.testing.assert_array_equal([image.get_array() for image in shown[0::3]], eyes)
    np.testing.assert_array_equal([image.get_array() for image in shown[1::3]], after)
    expected = (after.astype(float) - eyes).mean(axis=-1) / 255
    np.testing.assert_allclose([image.get_array() for image in shown[2::3]], expected, atol=1e-12)
    scales = {image.get_clim() for image in shown[2::3]}
    assert len(scales) == 1
    low, high = scales.pop()
    assert low == -high
    assert "pixels in 0 to 1" in bar.get_xlabel()
    assert fits(figure)
