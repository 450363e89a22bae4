"""Panels of one eye: pictures, changes, curve, outlines and captions."""

import numpy as np
import pytest

from fundus_ml import figures
from fundus_ml.errors import InputError
from fundus_ml.figures.changes import change_limit, change_magnitude, signed_change, spent_rms
from tests.fundus_ml.figures.drawn import EPS, fits

SMALL = np.zeros((2, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("size", [24, 64])
def test_panel_shows_pictures_changes_and_curve(make_panel, size):
    """Pictures as given, changes recomputed, one symmetric scale, the curve from the original."""
    given = make_panel(size)
    figure = figures.modulation_panel(**given)
    before, curve, *rest = figure.axes
    pictures, signed, sizes, bars = rest[:4], rest[4:8], rest[8:12], rest[12:]
    np.testing.assert_array_equal(before.images[0].get_array(), given["original"])
    for axes, picture in zip(pictures, given["modulated"], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), picture)
    difference = (np.stack(given["modulated"]).astype(float) - given["original"]) / 255
    shown = np.stack([axes.images[0].get_array() for axes in signed])
    np.testing.assert_allclose(shown, difference.mean(axis=-1), atol=1e-12)
    shown = np.stack([axes.images[0].get_array() for axes in sizes])
    np.testing.assert_allclose(shown, np.sqrt((difference**2).sum(axis=-1)), atol=1e-12)
    ((low, high),) = {axes.images[0].get_clim() for axes in signed}
    assert low == -high
    ((low, _),) = {axes.images[0].get_clim() for axes in sizes}
    assert low == 0
    np.testing.assert_allclose(
        curve.lines[0].get_xydata(),
        np.transpose([[0, *given["eps"]], [0.1, *given["prob_target"]]]),
    )
    assert all("(pixels in 0" in bar.get_ylabel().replace("\n", " ") for bar in bars)
    assert fits(figure)


def test_panel_captions_say_what_was_spent(make_panel):
    """Each caption gives eps, the RMS measured in the picture and P(target)."""
    given = make_panel()
    figure = figures.modulation_panel(**given)
    for axes, eps, prob, picture in zip(
        figure.axes[2:6], EPS, given["prob_target"], given["modulated"], strict=True
    ):
        rms = np.sqrt((((picture.astype(float) - given["original"]) / 255) ** 2).mean())
        assert axes.get_title() == f"eps {eps:g} · RMS {rms:.2g}\nP(female) {prob:.2f}"


def test_panel_outlines_the_structures_present(make_panel):
    """Disc and macula are outlined on each magnitude, and nothing without regions."""
    given = make_panel()
    figure = figures.modulation_panel(**given)
    for axes in figure.axes[10:14]:
        assert len(axes.collections) == 2
        disc = axes.collections[0].get_paths()[0].get_extents()
        assert (disc.x0, disc.y0, disc.x1, disc.y1) == (5.5, 3.5, 13.5, 11.5)
    names = [text.get_text() for text in figure.axes[13].get_legend().get_texts()]
    assert names == ["disc", "macula"]
    bare = figures.modulation_panel(**given | {"regions": None})
    assert not any(axes.collections for axes in bare.axes[:14])


@pytest.mark.parametrize("eps", [(2.0,), (0.25, 0.5, 1, 2, 4, 8, 16)])
def test_panel_fits_one_budget_or_seven(make_panel, eps):
    """Nothing is cut off, a long title included."""
    given = make_panel(eps=eps) | {"title": "a long title of an eye " * 12}
    assert fits(figures.modulation_panel(**given))


def test_change_measures_agree_with_a_loop(eyes):
    """Signed mean, length and RMS of a single pixel and of the whole."""
    before, after = eyes[0], eyes[1]
    delta = [(int(a) - int(b)) / 255 for a, b in zip(after[3, 5], before[3, 5], strict=True)]
    assert signed_change(before, after)[3, 5] == pytest.approx(sum(delta) / 3)
    assert change_magnitude(before, after)[3, 5] == pytest.approx(sum(d * d for d in delta) ** 0.5)
    squares = [((int(a) - int(b)) / 255) ** 2 for a, b in zip(after.flat, before.flat, strict=True)]
    assert spent_rms(before, after) == pytest.approx((sum(squares) / len(squares)) ** 0.5)


def test_no_change_has_a_scale_of_one_step(eyes):
    """Identical pictures draw as nothing, not as noise."""
    assert change_limit(signed_change(eyes, eyes)) == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": [1.0]}, "eps: 1 given for 4 pictures"),
        ({"prob_target": []}, "prob_target: 0 given for 4 pictures"),
        ({"modulated": []}, "modulated: empty"),
        ({"modulated": [SMALL[0]] * 4}, r"modulated: shape \(8, 8, 3\)"),
        ({"regions": SMALL[0, :, :, 0]}, r"regions: shape \(8, 8\)"),
        ({"original": np.zeros((32, 32), np.uint8)}, "original: must be uint8"),
    ],
)
def test_panel_refuses_what_does_not_match(make_panel, change, message):
    """Each raise of the panel names the argument."""
    with pytest.raises(InputError, match=message):
        figures.modulation_panel(**make_panel() | change)
