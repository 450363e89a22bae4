"""What a table of eyes can be asked, who answers, and what is said where nobody can."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.data import labels_to_learn, open_dataset
from fundus_ml.data.contrasts import Contrast, answers, offered
from fundus_ml.data.manifest import read_manifest, write_manifest
from fundus_ml.data.record import MANIFEST, read_dataset_json
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import make_manifest, write_folder, write_record

NAN = float("nan")


@pytest.fixture
def frame():
    return make_manifest(6).assign(
        healthy=[True, True, True, False, False, False],
        finding_glaucoma=[0.0, 0.0, NAN, 1.0, 0.0, 1.0],
        age=[30.0, 61.0, 60.0, NAN, 75.0, 80.0],
        eye=["left", "right", "left", "right", "unknown", "left"],
        smoker=["yes", "no", "no", "yes", "", "no"],
        **{"body mass": [20.0, 31.0, NAN, 25.0, 22.5, 40.0]},
        site=list("abcabc"),
    )


@pytest.mark.parametrize(
    ("contrast", "classes", "label", "left_out"),
    [
        ("sex", ("female", "male"), [0, 0, 1, 1, 0, 0], {}),
        (
            "glaucoma", ("healthy", "glaucoma"), [0, 0, NAN, 1, NAN, 1],
            {"glaucoma not said or only suspected": 1, "neither healthy nor glaucoma": 1},
        ),
        ("eye", ("left", "right"), [0, 1, 0, 1, NAN, 0], {"eye unknown": 1}),
        ("age>60", ("not age>60", "age>60"), [0, 1, 0, NAN, 1, 1], {"age unknown": 1}),
        ("age<61", ("not age<61", "age<61"), [1, 0, 1, NAN, 0, 0], {"age unknown": 1}),
        (
            "body mass>25", ("not body mass>25", "body mass>25"), [0, 1, NAN, 0, 0, 1],
            {"body mass unknown": 1},
        ),
        ("smoker", ("no", "yes"), [1, 0, 0, 1, NAN, 0], {"smoker unknown": 1}),
    ],
)  # fmt: skip
def test_every_eye_answers_or_is_counted(frame, contrast, classes, label, left_out):
    found = answers(frame, contrast)
    assert found.contrast.classes == classes
    np.testing.assert_array_equal(found.label.to_numpy(), label)
    assert dict(found.left_out) == left_out
    assert found.label.notna().sum() + sum(left_out.values()) == len(frame)


def test_what_other_programs_write_for_an_empty_cell_is_no_answer(frame):
    told = frame.assign(treated=["yes", "NA", "nan", "yes", "", "N/A"])
    with pytest.raises(InputError, match="contrast=treated: holds 1 values \\(yes\\)"):
        answers(told, "treated")
    told["treated"] = ["laser", "none", "null", "laser ", "none", "NaN"]
    found = answers(told, "treated")
    assert found.contrast.classes == ("laser", "none")
    np.testing.assert_array_equal(found.label.to_numpy(), [0, 1, NAN, 0, 1, NAN])
    assert dict(found.left_out) == {"treated unknown": 2}


@pytest.mark.parametrize(
    ("contrast", "line"),
    [
        (
            "glaucom",
            "contrast=glaucom: not in this dataset; near it: glaucoma; offered: sex",
        ),
        ("finding_glaucoma", "contrast=finding_glaucoma: not in this dataset; "),
        ("camera", "contrast=camera: not in this dataset; "),
        ("bmi>30", "contrast=bmi>30: not in this dataset; "),
        ("age>99", "contrast=age>99: every eye is not age>99; two classes are needed"),
        ("site", r"contrast=site: holds 3 values \(a, b, c\); two are needed"),
        ("smoker>1", "contrast=smoker>1: smoker holds no numbers"),
    ],
)
def test_what_cannot_be_asked_is_one_line(frame, contrast, line):
    with pytest.raises(InputError, match=f"^{line}") as raised:
        answers(frame, contrast)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("epiretinal_membrane", "epiretinal-membrane"),
        ("age>60.5", "age-over-60-5"),
        ("current smoker", "current-smoker"),
        ("größe (cm)<170", "groe-cm-under-170"),
        ("喫煙", "4b778a61"),
    ],
)
def test_any_column_gives_a_name_the_registry_takes(name, slug):
    assert Contrast(name, ("no", "yes")).slug == slug


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("age>60", "age"),
        ("age<-1.5", "age"),
        ("body mass>25", "body mass"),
        ("sex", ""),
        ("age", ""),
    ],
)
def test_a_cut_names_its_column(name, column):
    asked = Contrast(name, ("no", "yes"))
    assert asked.cut_column == column
    assert asked.of_age == (column == "age")


def test_a_table_says_what_it_offers(frame):
    assert offered(frame) == ["sex", "glaucoma", "eye", "age>NUMBER", "smoker"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve people; glaucoma in one eye of some, in both of others."""
    monkeypatch.setattr("fundus_ml.data.contrasts.FEWEST_PEOPLE", 6)
    write_folder(tmp_path / "eyes", 24)
    frame = read_manifest(tmp_path / "eyes" / MANIFEST)
    ill = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1] * 2, float)
    frame = frame.assign(healthy=ill == 0, finding_glaucoma=ill, split="train", age=50.0)
    write_manifest(frame, tmp_path / "eyes" / MANIFEST)
    record = read_dataset_json(tmp_path / "eyes")
    write_record(tmp_path / "eyes", record, kinds=("pixels", "regions"))
    return tmp_path / "eyes"


def test_a_contrast_chooses_labels_when_a_dataset_is_opened(folder):
    """The folder serves all; weights balance its classes within ages, the sex stays the truth."""
    plain, asked = open_dataset(str(folder)), open_dataset(str(folder), contrast="glaucoma")
    assert plain.contrast.name == "sex"
    assert asked.contrast.classes == ("healthy", "glaucoma")
    assert asked.digest == plain.digest
    assert asked.labels.tolist() == asked.frame["finding_glaucoma"].tolist()
    assert asked.frame["sex"].tolist() == plain.frame["sex"].tolist()
    weight = asked.frame.groupby("label")["weight"].sum()
    assert weight[0] == pytest.approx(weight[1])
    part = asked.split("train").select([3, 5])
    assert part.contrast == asked.contrast
    np.testing.assert_array_equal(part.pixels([1]), plain.pixels([5]))


def test_too_few_people_of_a_class_are_refused(folder, monkeypatch):
    """Each counts once, whatever their eyes."""
    monkeypatch.setattr("fundus_ml.data.contrasts.FEWEST_PEOPLE", 7)
    line = "dataset=tiny: contrast=glaucoma: 6 people are glaucoma; 7 are needed"
    with pytest.raises(InputError, match=line):
        open_dataset(str(folder), contrast="glaucoma")


def test_shuffled_findings_move_with_whole_people(folder):
    """Pairs of eyes are dealt out together; sexes are not touched."""
    asked = open_dataset(str(folder), contrast="glaucoma")
    dealt = labels_to_learn(asked, "shuffled", seed=3)

    def pairs(dataset):
        return dataset.frame.groupby("person_group")["label"].agg(tuple)

    assert sorted(pairs(dealt)) == sorted(pairs(asked))
    assert not pairs(dealt).equals(pairs(asked))
    pd.testing.assert_series_equal(dealt.frame["sex"], asked.frame["sex"])


def test_a_null_model_draws_its_classes_alike_as_the_true_one_does(folder):
    """Weights of the true labels would draw the dealt classes as often as they are."""
    dealt = labels_to_learn(open_dataset(str(folder), contrast="glaucoma"), "shuffled", seed=3)
    weight = dealt.frame.groupby("label")["weight"].sum()
    assert weight[0] == pytest.approx(weight[1])


def test_ages_are_balanced_within_a_contrast_where_the_folder_balances_them(folder):
    frame = read_manifest(folder / MANIFEST)
    write_manifest(frame.assign(age=np.where(np.arange(24) < 6, 45.0, 65.0)), folder / MANIFEST)
    record = read_dataset_json(folder)
    for balance, wanted in (
        ("sex,source", [6, 18]), ("sex,source,age", [12, 12]), ("source", [6, 18]), ("", [6, 18]),
    ):  # fmt: skip
        said = record | {"recipe": record["recipe"] | {"balance": balance}}
        write_record(folder, said, kinds=("pixels", "regions"))
        asked = open_dataset(str(folder), contrast="glaucoma").frame
        assert asked.groupby("age")["weight"].sum().to_list() == pytest.approx(wanted)
        classes = asked.groupby("label")["weight"].sum()
        assert classes[0] == pytest.approx(classes[1])  # also where the sexes are not balanced


@pytest.mark.parametrize("balance", ["sex,source", "sex,source,age"])
def test_a_cut_of_ages_weighs_its_classes_over_all_ages(folder, balance):
    """Within a band that the cut divides, two years would outweigh all others."""
    frame = read_manifest(folder / MANIFEST)
    ages = np.repeat([35.0, 45.0, 55.0, 62.0, 65.0, 66.0, 67.0, 68.0, 75.0, 76.0, 77.0, 85.0], 2)
    write_manifest(frame.assign(age=ages), folder / MANIFEST)
    record = read_dataset_json(folder)
    said = record | {"recipe": record["recipe"] | {"balance": balance}}
    write_record(folder, said, kinds=("pixels", "regions"))
    asked = open_dataset(str(folder), contrast="age>66.5").frame
    assert set(asked["weight"]) == {1.0}  # twelve eyes of either answer
