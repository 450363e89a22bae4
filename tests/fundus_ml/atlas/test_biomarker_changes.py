"""Biomarkers before and after: hand-made changes come back in the units that are known."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.atlas import (
    EDIT_OF,
    MeasuredChanges,
    between_people,
    compare_changes,
    measure_changes,
)
from fundus_ml.atlas.biomarker_changes import CHANGE_COLUMNS, SAME_PARTS
from fundus_ml.biomarkers import BY_NAME, CATALOGUE, EyeSquare, measure_squares
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions import region_columns, region_map
from fundus_ml.synthesis.edits import edit, parts_of_rows
from tests.fundus_ml.atlas import flat_eyes, painted_eyes

EYES, SIZE = 12, 120
NAMES = [each.name for each in CATALOGUE]


def light(level):
    """IEC 61966-2-1, levels above 10."""
    return ((level / 255 + 0.055) / 1.055) ** 2.4


def with_foveas(levels):
    """Grey eyes whose fovea has its own level: none is a retina that parts are looked for on."""
    regions = flat_eyes.eye((95, 60), (50, 60), diameter=18, size=SIZE)
    pixels = np.zeros((len(levels), SIZE, SIZE, 3), np.uint8)
    pixels[:, flat_eyes.retina(SIZE)] = 100
    down, across = np.mgrid[:SIZE, :SIZE]
    for eye, level in zip(pixels, levels, strict=True):
        eye[np.hypot(across - 50, down - 60) <= 8] = level
    rows = pd.DataFrame([region_columns(regions)] * len(levels))
    return pixels, rows, np.stack([region_map(regions)] * len(levels))


def compared(before, after, target, **more):
    frames = {"before": before, "after": after}
    given = {
        "groups": np.arange(len(before)), "spreads": {"hue": 2.0, "disc_area": 0.5},
        "associations": associated(), "permutations": 499, "resamples": 200,
    }  # fmt: skip
    return compare_changes(MeasuredChanges(**frames), target, **given | more).set_index("biomarker")


def associated(**columns):
    ends = {"difference": -0.4, "difference_low": -0.6, "difference_high": -0.2}
    rows = {"biomarker": ["hue", "disc_area"], **ends, "p": 0.001, "q": 0.01} | columns
    return pd.DataFrame(rows)


def edited(sign=1.0, q=0.01):
    names = sorted({each.edit for each in EDIT_OF.values()})
    return pd.DataFrame({"edit": names, "logit_change": sign, "q": q})


def frame(hue, disc_area=1.0):
    return pd.DataFrame({"hue": hue, "disc_area": disc_area}, index=range(EYES))


def test_a_fovea_darkened_by_hand_changes_foveal_darkness_by_the_known_sds():
    levels = np.linspace(40, 80, EYES).round()
    target = np.arange(EYES) % 2
    darker = np.where(target == 1, 0.8, 1.1) * levels
    pixels, rows, maps = with_foveas(levels)
    modulated = with_foveas(darker.round())[0]
    measured = measure_changes(pixels, modulated, rows, maps)
    log = np.log(light(levels))
    np.testing.assert_allclose(
        measured.before["foveal_darkness"], np.log(light(100)) - log, atol=1e-6
    )
    spreads = between_people(measured.before, np.arange(EYES))
    assert spreads["foveal_darkness"] == pytest.approx(log.std(ddof=1))
    moved = (log - np.log(light(darker.round()))) / log.std(ddof=1)
    table = compare_changes(
        measured, target, np.arange(EYES), spreads=spreads, associations=associated(),
        permutations=499, resamples=200,
    ).set_index("biomarker")  # fmt: skip
    assert tuple(table.reset_index()[list(CHANGE_COLUMNS)]) == CHANGE_COLUMNS
    row = table.loc["foveal_darkness"]
    assert row["towards_1"] == pytest.approx(moved[target == 1].mean())
    assert row["towards_0"] == pytest.approx(moved[target == 0].mean())
    assert row["change"] == pytest.approx((row["towards_1"] - row["towards_0"]) / 2)
    assert row["change_low"] < row["change"] < row["change_high"]
    assert row["change_q"] < 0.05
    assert row["parts"] == "of the unchanged eye"
    # Nothing else of the same parts moved, and nothing was found anew on a grey eye.
    pd.testing.assert_series_equal(measured.after["ring_green"], measured.before["ring_green"])
    assert table.loc["disc_area", "reason"] == "change not measured in enough eyes"


def test_colours_keep_the_parts_of_the_unchanged_eye_and_shapes_do_not():
    """Told from the catalogue: pigment and rings need no border that could move."""
    kept = {"peripapillary", "pigment"}
    assert set(NAMES) > SAME_PARTS >= {each.name for each in CATALOGUE if each.structure in kept}
    lengths = {"typical discs", "TDD", "degrees", "ratio", "dimension", "1/TDD", "ratio - 1"}
    assert {name for name in SAME_PARTS if BY_NAME[name].unit in lengths} == {"hue"}


def test_what_both_targets_share_cancels():
    target = np.arange(EYES) % 2
    wobble = 0.01 * np.arange(EYES)
    found = compared(frame(0.0), frame(5 + np.where(target == 1, -0.5, 0.5) + wobble), target)
    assert found.loc["hue", "change"] == pytest.approx(-0.25 + 0.01 / 4)
    assert found.loc["hue", "towards_0"] == pytest.approx((5.5 + 0.05) / 2)
    assert found.loc["hue", "change_p"] < 0.01
    assert found.loc["disc_area", "change"] == 0
    assert np.isnan(found.loc["disc_area", "change_p"])


@pytest.mark.parametrize(("only", "sign"), [(1, 1), (0, -1)])
def test_where_eyes_went_one_way_the_change_has_the_sign_of_that_class(only, sign):
    moved = frame(np.linspace(0.8, 1.2, EYES))
    found = compared(frame(0.0), moved, np.full(EYES, only)).loc["hue"]
    assert found["change"] == pytest.approx(sign * 0.5)
    assert sorted([found["change_low"], found["change_high"]]) == pytest.approx(
        [sign * 0.5 - 0.035, sign * 0.5 + 0.035], abs=0.02
    )
    assert np.isnan(found[f"towards_{1 - only}"])
    assert found["change_p"] < 0.01


def test_people_are_what_is_counted():
    """Twelve eyes of four people are four, a class of one person is not judged, two are refused."""
    target = np.arange(EYES) % 2
    after = frame(np.where(target == 1, -1.0, 1.0) + 0.01 * np.arange(EYES))
    alone = compared(frame(0.0), after, target).loc["hue"]
    four = compared(frame(0.0), after, target, groups=np.arange(EYES) % 4).loc["hue"]
    assert (alone["people"], four["people"]) == (EYES, 4)
    assert alone["change_p"] < 0.01
    assert four["change_p"] > 0.3
    one = compared(frame(0.0), after, target, groups=np.where(target == 1, 99, np.arange(EYES)))
    assert one.loc["hue", "change"] == pytest.approx(-one.loc["hue", "towards_0"])
    with pytest.raises(InputError, match="fewer than two people were pushed to either class"):
        compared(frame(0.0), after, target, groups=target)


def test_the_interval_counts_each_person_once_as_the_change_does():
    """Three people with three eyes that moved, three with one that did not."""
    people = np.repeat(np.arange(6), [3, 3, 3, 1, 1, 1])
    moved = frame(np.where(people < 3, 2.0, 0.0))
    found = compared(frame(0.0), moved, np.ones(EYES), groups=people).loc["hue"]
    assert found["change"] == pytest.approx(0.5)
    sixths = 6 * found[["change_low", "change_high"]].to_numpy(float)
    assert sixths == pytest.approx([0.5, 5], abs=0.51)


def test_a_biomarker_of_one_person_has_no_interval(recwarn):
    after = frame(np.where(np.arange(EYES) < 2, 1.0, np.nan))
    people = np.maximum(np.arange(EYES), 1)
    found = compared(frame(0.0), after, np.ones(EYES), groups=people).loc["hue"]
    assert (found["people"], found["change"]) == (1, 0.5)
    assert np.isnan(found["change_low"])
    assert not recwarn.list


def test_eyes_lost_by_the_modulation_are_counted():
    after = frame(np.where(np.arange(EYES) < 4, np.nan, 1.0))
    found = compared(frame(0.0), after, np.arange(EYES) % 2).loc["hue"]
    assert (found["eyes"], found["lost"]) == (8, 4)


def test_a_class_too_small_for_a_bootstrap_has_no_interval():
    """Two eyes of one class: one resample in seven has none of it."""
    target = (np.arange(EYES) < 2).astype(int)
    found = compared(frame(0.0), frame(np.arange(EYES) / 10), target).loc["hue"]
    assert np.isfinite(found["change"])
    assert np.isnan(found["change_low"])


CLAIM = {"edits": edited(1.0), "associations": associated()}


@pytest.mark.parametrize(
    ("changed", "sign", "reason"),
    [
        ({}, -1, ""),
        ({"edits": None}, -1, "no evaluator"),
        ({"edits": edited(1.0, 0.2)}, -1, "its edit does not move the evaluator"),
        ({"edits": edited(-1.0)}, -1, "its edit moves the evaluator the other way"),
        ({}, 1, "it moves against the difference"),
        ({"associations": associated(q=0.06)}, -1, "the classes do not differ"),
        ({"associations": associated(p=np.nan, q=np.nan)}, -1, "classes not compared"),
        ({"associations": associated().iloc[1:]}, -1, "classes not compared"),
        ({}, 0, "the modulation does not move it"),
    ],
)
def test_a_claim_needs_change_difference_and_edit_to_agree(changed, sign, reason):
    """The edit of hue lowers it: a logit that rises with the edit falls with hue."""
    target = np.arange(EYES) % 2
    moved = sign * np.where(target == 1, 1.0, -1.0) + 0.05 * np.sin(np.arange(EYES))
    found = compared(frame(0.0), frame(moved), target, **CLAIM | changed).loc["hue"]
    assert found["reason"] == reason
    assert found["claim"] == (reason == "")
    if changed == {}:
        assert found["logit_change"] == -1.0
        assert found["edit"] == "hue"


def test_a_biomarker_without_an_edit_is_no_claim():
    target = np.arange(EYES) % 2
    before = pd.DataFrame({"tortuosity": np.zeros(EYES)})
    after = pd.DataFrame({"tortuosity": np.where(target == 1, -1.0, 1.0) + 0.01 * np.arange(EYES)})
    found = compared(
        before, after, target, spreads={"tortuosity": 1.0}, edits=edited(),
        associations=associated().assign(biomarker=["tortuosity", "hue"]),
    ).loc["tortuosity"]  # fmt: skip
    assert (found["edit"], found["reason"], found["claim"]) == ("no edit", "no edit", False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": np.full(EYES, 2)}, "target: each must be 0 or 1"),
        ({"target": np.zeros(3)}, f"target: 3 given for {EYES} eyes"),
        ({"groups": np.zeros(4)}, f"groups: 4 given for {EYES} eyes"),
    ],
)
def test_refusals(changed, message):
    given = {"target": np.arange(EYES) % 2} | changed
    with pytest.raises(InputError, match=message):
        compared(frame(0.0), frame(1.0), **given)


def test_strips_that_a_modulation_lights_are_no_retina():
    """Beyond the frame of the unchanged eye there is none on either picture."""
    pixels, rows, maps = painted_eyes.squares(1, size=256)
    pixels[:, :32] = maps[:, :32] = 0
    lit = pixels.copy()
    lit[:, :31] = np.random.default_rng(0).integers(0, 90, lit[:, :31].shape)
    measured = measure_changes(pixels, lit, rows, maps)
    assert np.isfinite(measured.before["vessel_density"]).all()
    pd.testing.assert_frame_equal(measured.before, measured.after)


def test_pictures_that_do_not_fit_are_refused():
    pixels, rows, maps = with_foveas([50, 60])
    with pytest.raises(InputError, match="2 rows and 1 maps; one of each is needed"):
        measure_changes(pixels, pixels, rows, maps[:1])


@pytest.mark.slow
def test_edits_raise_what_the_table_says_and_shapes_are_found_anew():
    """Painted eyes with their true parts: every biomarker of the table rises with its edit."""
    pixels, rows, maps = painted_eyes.squares(2, size=320)
    parts, told = parts_of_rows(rows, maps), rows.to_dict("records")
    for name in sorted({each.edit for each in EDIT_OF.values()}):
        less, more = (
            np.stack([edit(name, *each, strength=side) for each in zip(pixels, parts, strict=True)])
            for side in (-1, 1)
        )
        raised = {key: each.sign for key, each in EDIT_OF.items() if each.edit == name}
        if set(raised) <= SAME_PARTS:
            squares = [
                EyeSquare(*each)
                for each in zip([*less, *more], [*maps, *maps], told * 2, strict=True)
            ]
            found = np.stack([values for values, _ in measure_squares(squares)])
            moved = pd.Series((found[2:] - found[:2]).mean(axis=0), NAMES)
        else:
            found = measure_changes(less, more, rows, maps)
            moved = (found.after - found.before).mean()
        for biomarker, sign in raised.items():
            # Arteries and veins may not be told apart on painted eyes; both equivalents abstain.
            if name != "vessel_calibre" or np.isfinite(moved[biomarker]):
                assert sign * moved[biomarker] > 0, biomarker
        if name == "vessel_calibre":
            assert moved["vessel_density"] > 0
