"""Figures show the numbers they were given, legibly, and leave matplotlib's state alone."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from sklearn.metrics import auc

from fundus_ml import figures
from fundus_ml.attacks.options import per_value_rms
from fundus_ml.errors import InputError
from fundus_ml.figures.changes import change_limit, change_magnitude, signed_change, spent_rms
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.statistics.clustered import Interval

EPS = (0.5, 1.0, 4.0, 8.0)


def roc(curves, intervals):
    return figures.roc_figure(
        curves, intervals, called="glaucoma", people=("healthy eyes", "eyes with glaucoma")
    )


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(11)


@pytest.fixture
def eyes(rng):
    """Seven small pictures, wider than high."""
    return rng.integers(0, 256, size=(7, 20, 24, 3), dtype=np.uint8)


@pytest.fixture
def history():
    """Four epochs, the third best clean, the second best attacked."""
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "train_loss": [0.70, 0.52, 0.41, 0.33],
            "val_loss": [0.69, 0.60, 0.58, 0.63],
            "val_auroc": [0.55, 0.71, 0.78, 0.77],
            "robust_val_auroc": [0.50, 0.62, 0.60, np.nan],
        }
    )


@pytest.fixture
def success():
    """Two models at four budgets, rows in no order."""
    rows = [
        {
            "model": model,
            "eps": eps,
            **{
                name + end: rise * eps / 8 + shift
                for name in ("success", "prob_target")
                for end, shift in (("", 0.05), ("_low", 0.0), ("_high", 0.1))
            },
        }
        for model, rise in (("clean", 0.9), ("robust", 0.4))
        for eps in EPS[::-1]
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def enrichments():
    """Two models over three parts, the disc planted."""
    return pd.DataFrame(
        {
            "model": ["clean"] * 3 + ["robust"] * 3,
            "part": ["vessels", "disc", "outside"] * 2,
            "enrichment": [1.4, 2.0, 0.3, 0.9, 7.5, 0.0],
            "low": [1.2, 1.5, 0.2, 0.7, 6.0, 0.0],
            "high": [1.6, 2.6, 0.4, 1.1, 9.0, 0.0],
            "planted": [False, True, False] * 2,
        }
    )


@pytest.fixture
def make_panel(rng):
    """Build the panel's arguments: one eye changed more at each budget, mostly in its disc."""

    def build(size=32, eps=EPS):
        original = rng.integers(40, 200, size=(size, size, 3), dtype=np.uint8)
        regions = np.full((size, size), REGION_FLAGS["retina"], dtype=np.uint8)
        regions[4:12, 6:14] |= REGION_FLAGS["disc"]
        regions[14:22, 16:24] |= REGION_FLAGS["macula"]
        modulated = []
        for place in range(len(eps)):
            change = rng.normal(size=original.shape) * (place + 1)
            change[4:12, 6:14] *= 4
            modulated.append(np.clip(original + np.round(change), 0, 255).astype(np.uint8))
        return {
            "original": original,
            "modulated": modulated,
            "eps": list(eps),
            "prob_target_before": 0.1,
            "prob_target": list(np.linspace(0.3, 0.95, len(eps))),
            "target": "female",
            "title": "synthetic/3_left: male towards female",
            "regions": regions,
        }

    return build


def fits(figure):
    """Whether everything drawn lies on the page."""
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    return page.x0 <= drawn.x0 <= drawn.x1 <= page.x1 and page.y0 <= drawn.y0 <= drawn.y1 <= page.y1


def line(axes, label):
    """The one line with this label."""
    (found,) = (drawn for drawn in axes.lines if drawn.get_label() == label)
    return found


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


def test_training_curves_hold_the_history(history):
    """Lines are the columns; an unmeasured epoch is left out; the best epoch is ringed."""
    figure = figures.training_curves(history)
    losses, aurocs = figure.axes
    np.testing.assert_array_equal(line(losses, "train").get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(line(losses, "validation").get_ydata(), history["val_loss"])
    np.testing.assert_array_equal(line(aurocs, "validation").get_xydata()[:, 0], history["epoch"])
    np.testing.assert_array_equal(
        line(aurocs, "validation, attacked").get_ydata(), [0.50, 0.62, 0.60]
    )
    assert line(aurocs, "best: epoch 3, 0.780").get_xydata().tolist() == [[3, 0.78]]
    assert set(line(aurocs, "chance").get_ydata()) == {0.5}
    attacked = figures.training_curves(history, best_by="robust_val_auroc").axes[1]
    assert line(attacked, "best: epoch 2, 0.620").get_xydata().tolist() == [[2, 0.62]]
    assert fits(figure)


def test_training_curves_need_no_second_epoch(history):
    """One epoch is one marker per column."""
    figure = figures.training_curves(history.drop(columns="robust_val_auroc")[:1])
    assert [drawn.get_label() for drawn in figure.axes[1].lines[:1]] == ["validation"]
    assert figure.axes[1].lines[0].get_marker() != "None"


def test_roc_encloses_the_auroc(rng):
    """The area under each drawn line is the AUROC, and the legend gives its interval."""
    labels = np.repeat([0, 1], 40)
    scores = {"clean": labels + rng.normal(size=80), "robust": rng.normal(size=80)}
    areas = {
        name: float((s[labels == 1][:, None] > s[labels == 0]).mean()) for name, s in scores.items()
    }
    intervals = {name: Interval(area, area - 0.1, area + 0.1) for name, area in areas.items()}
    figure = roc({name: (labels, s) for name, s in scores.items()}, intervals)
    for name, area in areas.items():
        label = f"{name}: {area:.3f} ({area - 0.1:.3f} to {area + 0.1:.3f})"
        assert auc(*line(figure.axes[0], label).get_xydata().T) == pytest.approx(area)
    assert fits(figure)


def test_auroc_by_eps_keeps_the_clean_point():
    """Budget 0 stays on the axis beside budgets over decades."""
    frame = pd.DataFrame(
        {
            "model": ["robust"] * 4,
            "eps": [4.0, 0.0, 0.1, 1.0],
            "auroc": [0.6, 0.95, 0.94, 0.8],
            "low": [0.5, 0.9, 0.9, 0.7],
            "high": [0.7, 0.99, 0.98, 0.9],
        }
    )
    (axes,) = figures.auroc_by_eps(frame).axes
    drawn = line(axes, "robust").get_xydata()
    np.testing.assert_array_equal(drawn[:, 0], [0, 0.1, 1, 4])
    np.testing.assert_array_equal(drawn[:, 1], [0.95, 0.94, 0.8, 0.6])
    assert axes.get_xscale() == "symlog"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.1", "1", "4"]
    left, right = axes.get_xlim()
    assert left < 0
    assert right > 4


def test_the_ball_is_named_and_only_an_l2_budget_has_an_rms(success, make_panel):
    for constraint, name, axes in (("l2", "L2", 4), ("linf", "L∞", 2)):
        figure = figures.success_curve(success, size=128, constraint=constraint)
        assert figure.axes[0].get_xlabel() == f"eps ({name}, pixels in 0 to 1)"
        shown = [top for panel in figure.axes for top in panel.child_axes]
        assert len(figure.axes) + len(shown) == axes
        panel = figures.modulation_panel(**make_panel() | {"constraint": constraint})
        assert panel.axes[1].get_xlabel() == f"eps ({name})"


def test_success_curve_shows_both_measures_with_bands(success):
    """Each panel holds its column, its band and the same budgets as eps and as RMS."""
    figure = figures.success_curve(success, size=128)
    for axes, name in zip(figure.axes, ("success", "prob_target"), strict=True):
        for model, band in zip(("clean", "robust"), axes.collections, strict=True):
            rows = success[success["model"] == model].sort_values("eps")
            np.testing.assert_array_equal(line(axes, model).get_xydata(), rows[["eps", name]])
            outline = band.get_paths()[0].vertices
            assert set(rows[f"{name}_low"]) | set(rows[f"{name}_high"]) <= set(outline[:, 1])
        assert axes.get_xscale() == "log"
        (top,) = axes.child_axes
        np.testing.assert_allclose(top.get_xticks(), axes.get_xticks())
        for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True):
            assert float(label.get_text()) == pytest.approx(tick / np.sqrt(3 * 128**2), rel=0.05)
    assert fits(figure)


def test_rms_of_a_spent_budget():
    """A change of length eps over all 3·size² values has the RMS of the second axis."""
    change = np.random.default_rng(0).normal(size=(16, 16, 3))
    change *= 2.5 / np.linalg.norm(change)
    assert per_value_rms("l2", 2.5, size=16) == pytest.approx(np.sqrt((change**2).mean()))


@pytest.mark.parametrize(
    ("eps", "scale"),
    [((1, 2, 4), "linear"), ((0.5, 5), "log"), ((0, 0.5, 5), "symlog"), ((0,), "linear")],
)
def test_budgets_over_a_decade_are_logarithmic(eps, scale):
    """The scale follows the ratio of the budgets, and the ticks are the budgets."""
    columns = {name: [0.7] * len(eps) for name in ("auroc", "low", "high")}
    frame = pd.DataFrame({"model": "clean", "eps": eps, **columns})
    axes = figures.auroc_by_eps(frame).axes[0]
    assert axes.get_xscale() == scale
    np.testing.assert_array_equal(axes.get_xticks(), eps)


def test_crowded_budgets_are_thinned():
    """Ticks that would touch are left out; the points stay."""
    eps = np.linspace(1, 2, 40)
    columns = dict.fromkeys(("auroc", "low", "high"), 0.7)
    axes = figures.auroc_by_eps(pd.DataFrame({"model": "clean", "eps": eps, **columns})).axes[0]
    assert len(axes.get_xticks()) <= 12
    assert len(line(axes, "clean").get_xdata()) == 40


def test_enrichments_stand_in_their_rows(enrichments):
    """A point per model and part with its interval, the line 1, the planted part shaded."""
    figure = figures.region_enrichment_figure(enrichments)
    (axes,) = figure.axes
    parts = [label.get_text() for label in axes.get_yticklabels()]
    assert parts == ["vessels", "disc\n(planted)", "outside"]
    for model, segments in zip(("clean", "robust"), axes.collections, strict=True):
        rows = enrichments[enrichments["model"] == model]
        drawn = line(axes, model).get_xydata()
        np.testing.assert_array_equal(drawn[:, 0], rows["enrichment"])
        np.testing.assert_array_equal(np.round(drawn[:, 1]), [0, 1, 2])
        ends = np.array(segments.get_segments())[:, :, 0]
        np.testing.assert_array_equal(ends, rows[["low", "high"]])
    assert set(line(axes, "spread evenly (1)").get_xdata()) == {1}
    (shade,) = axes.patches
    assert shade.get_y() < 1 < shade.get_y() + shade.get_height()
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert fits(figure)


def test_shams_stand_hollow_beside_their_parts(enrichments):
    """In the row and colour of their part; a part without a sham has none."""
    shams = [0.7, 1.1, np.nan]
    figure = figures.region_enrichment_figure(enrichments.assign(sham=shams * 2))
    (axes,) = figure.axes
    hollow = [
        each for each in axes.lines if each.get_fillstyle() == "none" and len(each.get_xdata())
    ]
    for drawn, model in zip(hollow, ("clean", "robust"), strict=True):
        np.testing.assert_array_equal(drawn.get_xdata(), shams)
        np.testing.assert_array_equal(drawn.get_ydata(), line(axes, model).get_ydata())
        assert drawn.get_color() == line(axes, model).get_color()
    assert line(axes, "its sham").get_marker() == "o"
    assert fits(figure)


def test_enrichments_without_truth_shade_nothing(enrichments):
    """Real eyes have no planted part."""
    figure = figures.region_enrichment_figure(enrichments.drop(columns="planted"))
    assert not figure.axes[0].patches


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


def test_png_is_repeatable_and_scales_with_dpi(history):
    """The same figure gives the same bytes; dpi sets the pixels."""
    first = figures.figure_png(figures.training_curves(history), dpi=50)
    assert first == figures.figure_png(figures.training_curves(history), dpi=50)
    assert first.startswith(b"\x89PNG")
    assert b"Matplotlib" not in first


def test_png_pixels_follow_dpi(history, tmp_path):
    """Eight inches at 50 dpi are 400 pixels."""
    path = tmp_path / "curves.png"
    path.write_bytes(figures.figure_png(figures.training_curves(history), dpi=50))
    assert imread(path).shape[1] == 400


def test_no_global_state(history):
    """Settings stay as they were, and pyplot is never imported."""
    before = dict(mpl.rcParams)
    figures.figure_png(figures.training_curves(history))
    assert dict(mpl.rcParams) == before
    program = "import sys, fundus_ml.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


SMALL = np.zeros((2, 8, 8, 3), np.uint8)
FRAME = pd.DataFrame({"model": ["a"], "eps": [-1.0], "auroc": [0.5], "low": [0.4], "high": [0.6]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.sample_sheet(SMALL, ["one"]), "captions: 1 given for 2 pictures"),
        (lambda: figures.sample_sheet(SMALL, ["a", "b"], columns=0), "columns=0: must be 1"),
        (lambda: figures.sample_sheet(SMALL[:0], []), r"images: must be uint8 \(n, H, W, 3\)"),
        (lambda: figures.sample_sheet(SMALL / 255, ["a", "b"]), "not float64"),
        (
            lambda: figures.contact_sheet(SMALL, SMALL[:, :4], ["a", "b"]),
            r"modulated: shape \(2, 4, 8, 3\)",
        ),
        (lambda: figures.training_curves(FRAME), "columns missing: epoch, train_loss"),
        (lambda: figures.auroc_by_eps(FRAME), "eps=-1.0: must be a finite number"),
        (lambda: figures.auroc_by_eps(FRAME[:0]), "frame: empty"),
        (lambda: roc({}, {}), "curves: empty"),
        (lambda: roc({"a": ([0, 1], [0, 1])}, {}), "intervals: missing for a"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    """Each raise names what is wrong."""
    with pytest.raises(InputError, match=message):
        call()


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


def test_curves_refuse_what_they_cannot_show(history, success):
    """A best epoch needs a number; an RMS needs a size."""
    nothing = history.assign(robust_val_auroc=np.nan)
    with pytest.raises(InputError, match="robust_val_auroc holds no number"):
        figures.training_curves(nothing, best_by="robust_val_auroc")
    with pytest.raises(InputError, match="size=0: must be 1 or more"):
        figures.success_curve(success, size=0)
