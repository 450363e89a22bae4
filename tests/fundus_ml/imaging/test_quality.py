"""Quality falls with everything that spoils a photograph, and with nothing else."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.imaging import quality
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.quality import WORST_CAST, measure_focus, measure_quality
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

ALONG = (np.arange(256) + 0.5) / 128 - 1
RIGHT, DOWN = np.meshgrid(ALONG, ALONG)
CIRCLE = np.hypot(RIGHT, DOWN) <= 1
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8)


def view_of(image, x, y, radius):
    """The view of a circle, by a plain affine map."""
    scale = 128 / radius
    shift = [[scale, 0, 127.5 - scale * x], [0, scale, 127.5 - scale * y]]
    around = cv2.GaussianBlur(image, (0, 0), max(0.1, 0.35 / scale))
    view = cv2.warpAffine(around, np.array(shift), (256, 256), flags=cv2.INTER_LINEAR)
    return view * CIRCLE[..., None].astype(np.uint8)


@pytest.fixture(scope="module")
def painted():
    """Views of eyes by all cameras, cut where the painter put them."""
    rows = draw_population(Population(patients=8, seed=3)).to_dict("records")
    views = []
    for row in rows:
        camera = CAMERAS[row["camera"]]
        x, y = (along - 0.5 for along in camera.centre)
        views.append(view_of(paint_photograph(row).image, x, y, camera.field_radius))
    return views


def real_views(folder, names, shrink=None):
    """Views of real eyes; those without a circle are left out."""
    views = {}
    for name in names:
        image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB)
        if image is None:
            continue
        if shrink is not None:
            image = shrink(image)
        try:
            field = find_field_of_view(image)
        except InputError:
            continue
        view = crop_to_field_of_view(image, field, size=256)
        views[name] = view * CIRCLE[..., None].astype(np.uint8)
    return views


@pytest.fixture(scope="module")
def real_data():
    """The folder of real photographs."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    return Path(os.environ["FUNDUS_REAL_DATA"])


def blurred(view, level):
    """Gaussian blur of up to 4 pixels."""
    return cv2.GaussianBlur(view, (0, 0), 5 * level) if level else view


def darkened(view, level):
    """Less light."""
    return np.rint(view * (1 - level)).astype(np.uint8)


def fogged(view, level):
    """A veil of the eye's own colour over all that is lit."""
    lit = view.max(axis=2) > quality.DARK
    veil = view[lit].mean(axis=0)
    return np.where(lit[..., None], np.rint(view * (1 - level) + level * veil), 0).astype(np.uint8)


def tinted(view, level):
    """A green filter."""
    return np.rint(view * (1 - level * np.array([1.2, 0.0, 1.2]))).astype(np.uint8)


def occluded(view, level):
    """A lid over the upper part."""
    covered = view.copy()
    covered[: round(256 * level)] = 0
    return covered


DEGRADATIONS = {
    "focus": blurred,
    "illumination": darkened,
    "contrast": fogged,
    "colour_cast": tinted,
    "visible_area": occluded,
}


def assert_falls(measure, degrade, views):
    """The measure worsens from level to level, and the score with it, but for a hundredth."""
    for view in views:
        spoilt = [degrade(view, level) * CIRCLE[..., None].astype(np.uint8) for level in LEVELS]
        found = [measure_quality(each) for each in spoilt]
        sign = -1 if measure == "colour_cast" else 1
        one = sign * np.array([getattr(each, measure) for each in found])
        if measure == "illumination":  # places too dark to be seen count in the visible area
            one *= [each.visible_area for each in found]
        score = np.array([each.quality for each in found])
        assert (np.diff(one) <= 0.012).all(), (measure, one)
        assert (np.diff(score) <= 0.012).all(), (measure, score)
        assert one[-1] < one[0] - 0.05
        assert score[-1] < 0.95 * score[0]


@pytest.mark.parametrize("measure", DEGRADATIONS)
def test_each_way_to_spoil_a_painted_eye_lowers_its_measure_and_the_score(painted, measure):
    """Blur, darkness, fog, a filter, a lid: step by step."""
    assert_falls(measure, DEGRADATIONS[measure], painted)


def test_fog_and_darkness_are_not_taken_for_blur(painted):
    """Focus stays where only contrast or light is lost."""
    for view in painted:
        focus = measure_quality(view).focus
        assert measure_quality(fogged(view, 0.4)).focus == pytest.approx(focus, abs=0.05)
        assert measure_quality(darkened(view, 0.4)).focus == pytest.approx(focus, abs=0.05)


def slow_coherent(green, sigma):
    """Gradient energy along the cell's direction less that across it, by eigenvalues."""
    smooth = ndimage.gaussian_filter(green.astype(np.float64), sigma, mode="mirror")
    weights = np.array([3, 10, 3])
    slope = np.array([-1, 0, 1])
    across = ndimage.correlate(smooth, weights[:, None] * slope, mode="mirror")
    down = ndimage.correlate(smooth, slope[:, None] * weights, mode="mirror")
    side = len(green) // 16
    coherent = np.empty((16, 16))
    for row, column in np.ndindex(16, 16):
        cell = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
        slopes = np.stack([across[cell].ravel(), down[cell].ravel()])
        low, high = np.linalg.eigvalsh(slopes @ slopes.T / side**2)
        coherent[row, column] = np.sqrt(high - low)
    return coherent


def slow_quality(view):
    """A plain rewrite, one cell at a time."""
    small = np.rint(view.astype(np.float64).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)))
    along = (np.arange(64) + 0.5) / 32 - 1
    radius = np.hypot(along[:, None], along)
    seen = (small.max(axis=2) > 16) & (small.min(axis=2) < 250) & (radius <= 1)
    clear = ndimage.binary_erosion(seen, np.ones((5, 5)), border_value=1) & (radius <= 0.9)
    cells = clear.reshape(16, 4, 16, 4).mean(axis=(1, 3)) > 0.9

    def low(values):
        weight = ndimage.gaussian_filter(clear.astype(float), 3, mode="mirror")
        return ndimage.gaussian_filter(values * clear, 3, mode="mirror") / np.maximum(weight, 1e-3)

    fine = slow_coherent(view[..., 1], 1.0)[cells].mean()
    coarse = slow_coherent(small[..., 1], 0.7)[cells].mean() / 4
    grey = low(np.rint(small @ [0.299, 0.587, 0.114]))[clear]
    middle = np.median(grey)
    even = np.percentile(grey, 10) / np.percentile(grey, 90) / 0.6
    base = low(small[..., 1])
    weber = clear * (small[..., 1] - base) / (base + 4)
    power = (weber**2).reshape(16, 4, 16, 4).mean(axis=(1, 3))[cells]
    colour = np.median(small[clear], axis=0) + 1
    red, _, blue = colour / colour.sum()
    cast = np.hypot(max(0.40 - red, red - 0.72, 0), max(blue - 0.27, 0))
    return [
        np.clip((fine / coarse - 1) / 1.5, 0, 1),
        np.sqrt(min(1, middle / 80, (255 - middle) / 80) * min(1, even)),
        np.tanh(np.sqrt(np.median(power)) / 0.05),
        cast,
        seen.sum() / (radius <= 1).sum(),
    ]


def test_measures_are_those_of_a_slow_rewrite(painted):
    """On whole, dim, tinted and half covered eyes."""
    views = [
        view if index % 4 == 0 else list(DEGRADATIONS.values())[index % 4 + 1](view, 0.4)
        for index, view in enumerate(painted)
    ]
    for view in views:
        np.testing.assert_allclose(measure_quality(view)[:5], slow_quality(view), atol=0.006)


def test_the_score_is_made_of_the_measures(painted):
    """By its formula, so that it never rises when one of them worsens."""
    for view in [*painted, tinted(painted[0], 0.5)]:
        found = measure_quality(view)
        assert measure_focus(view) == found.focus
        plain = (found.focus * found.illumination * found.contrast) ** (1 / 3)
        share = max(0.0, 1 - found.colour_cast / WORST_CAST)
        assert found.quality == pytest.approx(plain * found.visible_area * share)
        assert all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize(
    ("colour", "illumination", "cast"),
    [
        ((120, 79, 39), 1.0, 0.0),
        ((60, 39, 19), np.sqrt(43 / 80), 0.0),
        ((99, 99, 99), 1.0, np.hypot(0.40 - 1 / 3, 1 / 3 - 0.27)),
        ((204, 99, 0), 1.0, 0.0),
        ((0, 0, 254), np.sqrt(29 / 80), np.hypot(0.40 - 1 / 257, 255 / 257 - 0.27)),
        ((245, 245, 245), np.sqrt(10 / 80), np.hypot(0.40 - 1 / 3, 1 / 3 - 0.27)),
    ],
)
def test_an_even_disc_has_no_detail_and_the_light_and_colour_it_was_given(
    colour, illumination, cast
):
    """Closed forms: lit as its grey level says, nothing to focus on."""
    view = CIRCLE[..., None] * np.array(colour, np.uint8)
    found = measure_quality(view)
    assert found.focus == pytest.approx(0, abs=1e-3)
    assert found.contrast == pytest.approx(0, abs=1e-4)
    assert found.illumination == pytest.approx(illumination, abs=5e-3)
    assert found.colour_cast == pytest.approx(cast, abs=1e-3)
    assert found.visible_area == 1


@pytest.mark.parametrize("level", [0, quality.DARK, quality.GLARE, 255])
def test_a_black_or_burnt_out_view_scores_nothing(level):
    """Nothing is seen, nothing is judged."""
    view = (CIRCLE[..., None] * np.full(3, level)).astype(np.uint8)
    found = measure_quality(view)
    # Where the rim is averaged with the black around it, a burnt out view looks grey.
    assert found[:4] == (0, 0, 0, 0)
    assert measure_focus(view) == 0
    assert found.visible_area < 0.06
    assert found.quality == 0


def test_mirrored_and_turned_views_are_as_good(painted):
    """Left and right eyes, and cameras held sideways, are treated alike."""
    for view in painted:
        found = measure_quality(view)
        for rotated in (view[:, ::-1], view[::-1], np.rot90(view)):
            again = measure_quality(np.ascontiguousarray(rotated))
            np.testing.assert_allclose(again, found, atol=1e-5)


def test_the_visible_area_is_the_share_of_the_circle_that_a_lid_leaves(painted):
    """Half a circle is half an eye."""
    half = occluded(painted[0], 0.5)
    assert measure_quality(half).visible_area == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (np.zeros((255, 256, 3), np.uint8), r"view of shape \(255, 256, 3\), uint8: must be"),
        (np.zeros((256, 256, 3), np.float32), r"float32: must be \(256, 256, 3\) of uint8"),
        (np.zeros((256, 256), np.uint8), r"view of shape \(256, 256\)"),
    ],
)
def test_another_shape_or_type_is_refused(view, rule):
    """With what was given and what is needed."""
    with pytest.raises(InputError, match=rule):
        measure_quality(view)
    with pytest.raises(InputError, match=rule):
        measure_focus(view)


def odir_eyes(root):
    """Keywords of every eye by its file name."""
    table = pd.read_csv(root / "odir" / "full_df.csv")
    left = table["filename"].str.contains("left")
    words = table["Left-Diagnostic Keywords"].where(left, table["Right-Diagnostic Keywords"])
    return pd.Series(words.to_numpy(), index=table["filename"])


@pytest.mark.real_data
@pytest.mark.parametrize("measure", DEGRADATIONS)
def test_each_way_to_spoil_a_real_eye_lowers_its_measure_and_the_score(real_data, measure):
    """The same on healthy ODIR eyes without a cast."""
    words = odir_eyes(real_data)
    names = words.index[words.eq("normal fundus")][::180]
    views = real_views(real_data / "odir" / "images", names).values()
    good = [view for view in views if measure_quality(view).quality > 0.6]
    assert len(good) > 6
    assert_falls(measure, DEGRADATIONS[measure], good)


@pytest.mark.real_data
@pytest.mark.slow
def test_eyes_that_doctors_called_hazy_score_lower(real_data):
    """Refractive media opacity and cataract against every tenth normal eye."""
    words = odir_eyes(real_data)
    normal = words.index[words.eq("normal fundus")][::10]
    images = real_data / "odir" / "images"
    clear = [measure_quality(view).quality for view in real_views(images, normal).values()]
    for word in ("refractive media opacity", "cataract"):
        hazy = words.index[words.str.contains(word)][:60]
        scores = [measure_quality(view).quality for view in real_views(images, hazy).values()]
        assert roc_auc_score([1] * len(clear) + [0] * len(scores), clear + scores) > 0.9


@pytest.mark.real_data
@pytest.mark.slow
def test_a_small_file_of_a_sharp_photograph_is_not_taken_for_blur(real_data):
    """12 megapixels and a 400 pixel JPEG of it: focus moves less than by one pixel of blur."""
    folder = real_data / "fullsize"
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*.jpg"))[:8]]

    def shrink(image):
        small = cv2.resize(image, (400, 400 * image.shape[0] // image.shape[1]), interpolation=3)
        _, content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])
        return cv2.imdecode(content, cv2.IMREAD_COLOR)

    whole, small = (real_views(folder, names, change) for change in (None, shrink))
    common = sorted(set(whole) & set(small))
    assert len(common) > 4
    lost = [
        measure_quality(whole[name]).focus - measure_quality(small[name]).focus for name in common
    ]
    by_blur = [
        measure_quality(whole[name]).focus
        - measure_quality(cv2.GaussianBlur(whole[name], (0, 0), 1)).focus
        for name in common
    ]
    assert np.median(np.abs(lost)) < np.median(by_blur)
