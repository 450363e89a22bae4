"""Designs hold what varies, standardised, never a label, and say why one is empty."""

import numpy as np
import pytest

from fundus_ml.auditing.columns import TOGETHER, TREES, WHOLE
from fundus_ml.auditing.permutation import grouped_folds, out_of_fold
from fundus_ml.auditing.shortcuts import MASKED, find_shortcuts
from fundus_ml.data.opening import open_dataset
from tests.fundus_ml.tiny_cohorts import draw_cohort, draw_pixels, write_cohort
from tests.fundus_ml.tiny_eyes import write_folder

NAMES = (
    "source",
    "camera",
    "age",
    "disease flags",
    "row order",
    "field-of-view geometry",
    "border and padding",
    "masked retina",
    "global colour",
    "quality",
    TOGETHER,
    TREES,
)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    frame = draw_cohort(120)
    return frame.assign(
        healthy=rng.random(len(frame)) < 0.5,
        disease_glaucoma=np.where(rng.random(len(frame)) < 0.1, np.nan, rng.integers(0, 2)),
        fov_cut=np.where(rng.random(len(frame)) < 0.2, "top+bottom", ""),
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory, frame):
    """Read only."""
    dataset = write_cohort(
        tmp_path_factory.mktemp("shortcuts") / "drawn", frame, draw_pixels(frame)
    )
    return {item.name: item for item in find_shortcuts(dataset)}


def test_every_shortcut_is_there_in_order_the_known_ones_first(found):
    assert tuple(found) == NAMES
    assert [item.known for item in found.values()] == [True] * 5 + [False] * 7


def test_designs_are_standardised_and_have_no_column_twice(found, frame):
    for item in found.values():
        assert item.design.shape[0] == len(frame)
        np.testing.assert_allclose(item.design.mean(axis=0), 0, atol=1e-8)
        np.testing.assert_allclose(item.design.std(axis=0), 1)
        related = abs(np.corrcoef(item.design, rowvar=False)) if item.design.size else np.eye(1)
        if item.name not in WHOLE:
            assert (np.triu(np.atleast_2d(related), 1) < 1 - 1e-9).all(), item.name


def test_what_does_not_vary_says_so(found):
    assert found["source"].missing == "all eyes come from one source"
    assert not found["source"].design.size
    assert not found["camera"].missing
    assert found[TOGETHER].design.shape[1] == sum(
        found[name].design.shape[1] for name in NAMES[:10]
    )


def test_labels_move_nothing(tmp_path, found, frame):
    other = frame.assign(sex="male", label=1)
    dataset = write_cohort(tmp_path / "other", other, draw_pixels(other))
    for item in find_shortcuts(dataset):
        np.testing.assert_array_equal(item.design, found[item.name].design)


def test_of_a_finding_the_sex_stands_in_for_diseases_and_the_order_says_nothing(
    tmp_path, frame, found
):
    """Diseases come together, and releases are sorted by them."""
    write_cohort(
        tmp_path / "ill", frame.assign(finding_amd=frame["healthy"] < 1), draw_pixels(frame)
    )
    dataset = open_dataset(str(tmp_path / "ill"), contrast="amd")
    of_amd = {item.name: item for item in find_shortcuts(dataset)}
    assert set(found) - set(of_amd) == {"disease flags"}
    assert set(of_amd) - set(found) == {"sex"}
    assert of_amd["row order"].missing == "releases are sorted by what was found in the eyes"
    assert not of_amd["row order"].design.size
    design = of_amd["sex"].design[:, 0]
    assert set(map(tuple, zip(design > 0, dataset.frame["sex"], strict=True))) in (
        {(True, "male"), (False, "female")}, {(False, "male"), (True, "female")},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("camera", lambda frame: frame["camera"].eq("new")),
        ("age", lambda frame: abs(frame["age"] - 54) < 8),
        ("disease flags", lambda frame: frame["disease_glaucoma"].isna()),
        ("row order", lambda frame: np.arange(len(frame)) % 100 < 50),
        ("field-of-view geometry", lambda frame: frame["fov_cut"].ne("")),
        ("global colour", lambda frame: frame["camera"].eq("hand")),
        ("quality", lambda frame: abs(frame["focus"] - 0.6) < 0.15),
    ],
)
def test_a_design_tells_what_it_holds(found, frame, name, truth):
    """Categories, a middle range, a gap and a block in the table are all within reach."""
    labels = np.asarray(truth(frame), float)
    folds = grouped_folds(frame["person_group"], frame["source"], seed=0)
    scores = out_of_fold(found[name].design, labels[:, None], folds)[:, 0]
    assert scores[labels == 1].mean() - scores[labels == 0].mean() > 0.3


def test_trees_read_what_was_measured_and_an_unknown_age_stays_unknown(tmp_path, frame):
    frame = frame.assign(age=np.where(np.arange(len(frame)) < 9, np.nan, frame["age"]))
    dataset = write_cohort(tmp_path / "ages", frame, draw_pixels(frame))
    found = {item.name: item for item in find_shortcuts(dataset)}
    np.testing.assert_array_equal(found["age"].columns[:, 0], frame["age"])
    assert set(np.unique(found["camera"].columns)) == {0.0, 1.0}
    singles = [found[name] for name in NAMES[:10]]
    assert found[TREES].columns.shape[1] == sum(item.columns.shape[1] for item in singles)
    assert [item.retinal for item in found.values()] == [False] * 8 + [True] * 4


@pytest.mark.parametrize("age", [50.0, np.nan])
def test_one_age_is_no_shortcut(tmp_path, frame, age):
    dataset = write_cohort(tmp_path / "ages", frame.assign(age=age), draw_pixels(frame))
    found = next(item for item in find_shortcuts(dataset) if item.name == "age")
    assert found.missing == "it is unknown or the same for every eye"


def test_a_composite_fills_the_columns_that_one_source_lacks(tmp_path, frame):
    other = draw_cohort(60, source="second")
    for name, rows in (("first", frame), ("second", other)):
        write_cohort(tmp_path / name, rows, draw_pixels(rows))
    dataset = open_dataset(f"{tmp_path / 'first'},{tmp_path / 'second'}")
    for item in find_shortcuts(dataset):
        assert np.isfinite(item.design).all()
        # Painted borders are black everywhere: cells of them do not vary.
        assert bool(item.missing) == (item.name == MASKED)


@pytest.mark.parametrize(
    ("contrast", "left_out", "column"),
    [
        ("age>60", "age", "age"),
        ("quality>0.5", "quality", "quality"),
        ("focus>0.5", "quality", "focus"),
        ("width>40", "field-of-view geometry", "width"),
        ("label>0.5", "sex", "label"),
        ("dose>0.5", "", ""),
    ],
)
def test_what_a_question_cuts_is_not_held_against_it(tmp_path, frame, contrast, left_out, column):
    frame = frame.assign(dose=frame["focus"])
    write_cohort(tmp_path / "asked", frame, draw_pixels(frame))
    found = find_shortcuts(open_dataset(str(tmp_path / "asked"), contrast=contrast))
    said = {item.name: item.missing for item in found if "the question" in item.missing}
    assert said == ({left_out: f"{column} is the question"} if left_out else {})
    together = next(item for item in found if item.name == TOGETHER)
    singles = [item for item in found if item.name not in WHOLE]
    assert together.design.shape[1] == sum(item.design.shape[1] for item in singles)
    assert all(not item.design.size for item in singles if item.name == left_out)


@pytest.mark.parametrize("around", ["whole", "disc", "macula", "border"])
def test_outside_the_circle_of_a_square_around_a_part_lies_retina(tmp_path, frame, around):
    """There the border of the square is anatomy; where the retina is grey, it is the picture."""
    level = np.random.default_rng(0).integers(60, 120, (len(frame), 1, 1, 1))
    pixels = draw_pixels(frame, frame_level=level)
    dataset = write_cohort(tmp_path / "part", frame, pixels, around=around)
    found = {item.name: item for item in find_shortcuts(dataset)}
    part = around in ("disc", "macula")
    for name in ("border and padding", MASKED):
        assert found[name].missing == ("the square shows a part of the eye" if part else "")
        assert bool(found[name].design.size) != part
    assert found[TOGETHER].design.shape[1] == sum(
        found[name].design.shape[1] for name in NAMES[:10]
    )


def test_seven_eyes_are_laid_out_and_progress_is_told(tmp_path):
    write_folder(tmp_path / "tiny")
    told = []
    dataset = open_dataset(str(tmp_path / "tiny"))
    found = find_shortcuts(dataset, on_progress=lambda *done: told.append(done))
    assert [item.name for item in found] == list(NAMES)
    assert told == [(7, 7)]
