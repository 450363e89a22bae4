"""ODIR-5K as its tables really are, invented row by row, and the release itself where it lies."""

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from fundus_ml.data.contrasts import answers
from fundus_ml.errors import InputError
from fundus_ml.sources.odir import FINDINGS, FOLDERS, odir_photographs
from tests.fundus_ml.sources.tiny_releases import (
    ODIR_EXCEL,
    odir_row,
    place,
    refusals,
    write_excel,
    write_odir,
    write_odir_excel,
)

HEALTHY = ("normal fundus", "normal fundus")


def test_a_row_is_about_the_eye_in_its_file_name(tmp_path):
    """Keywords of that eye decide; the patient's flags and the fellow eye do not."""
    root = write_odir(
        tmp_path,
        odir_row(0, 69, "Female", "cataract", "normal fundus", "0_right.jpg"),
        odir_row(0, 69, "Female", "cataract", "normal fundus", "0_left.jpg"),
        odir_row(7, 1, "Male", "lens dust，Normal Fundus", "glaucoma", "7_left.jpg"),  # noqa: RUF001
    )
    photographs = odir_photographs(root)
    table = photographs.table.set_index("image_id")
    assert list(table.index) == ["odir/0_right", "odir/7_left"]
    assert list(table["patient_id"]) == ["odir/0", "odir/7"]
    assert list(table["sex"]) == ["female", "male"]
    assert list(table["eye"]) == ["right", "left"]
    assert table["age"].isna().tolist() == [False, True]
    assert list(table["flags"]) == ["", "placeholder age; lens dust"]
    assert photographs.rejected.to_numpy().tolist() == [["odir/0_left", "not healthy", "cataract"]]
    everyone = odir_photographs(root, healthy_only=False)
    assert everyone.table["healthy"].tolist() == [True, False, True]
    assert everyone.rejected.empty


def test_the_patients_letters_become_disease_columns(tmp_path):
    """Each of N D G C A H M O set alone; N is in no column."""
    diseases = [
        "disease_diabetes",
        "disease_glaucoma",
        "disease_cataract",
        "disease_amd",
        "disease_hypertension",
        "disease_myopia",
        "disease_other",
    ]
    alone = [["1" if letter == place else "0" for letter in range(8)] for place in range(8)]
    rows = [
        odir_row(n, 50, "Male", *HEALTHY, f"{n}_left.jpg", flags=",".join(flags))
        for n, flags in enumerate(alone)
    ]
    table = odir_photographs(write_odir(tmp_path, *rows)).table.filter(like="disease_")
    assert list(table) == diseases
    assert table.to_numpy().tolist() == [[float(flag) for flag in flags[1:]] for flags in alone]


def test_an_eyes_own_keywords_give_its_findings(tmp_path):
    """Whole keywords only; what is suspected is unknown; the fellow eye says nothing."""
    said = {
        "glaucoma": {"glaucoma": 1.0},
        "suspected glaucoma，drusen": {"glaucoma": math.nan, "drusen": 1.0},  # noqa: RUF001
        "wet age-related macular degeneration， Cataract": {"amd": 1.0, "cataract": 1.0},  # noqa: RUF001
        "suspected cataract": {"cataract": math.nan},
        "mild nonproliferative retinopathy，lens dust": {"retinopathy": 1.0},  # noqa: RUF001
        "hypertensive retinopathy": {"hypertensive": 1.0},
        "normal fundus": {},
    }
    rows = [
        odir_row(n, 50, "Male", words, "glaucoma", f"{n}_left.jpg") for n, words in enumerate(said)
    ]
    root = write_odir(tmp_path, *rows)
    table = odir_photographs(root, healthy_only=False).table.filter(like="finding_")
    assert list(table) == [f"finding_{name}" for name in FINDINGS]
    for (_, row), wanted in zip(table.iterrows(), said.values(), strict=True):
        named = dict.fromkeys(FINDINGS, 0.0) | wanted
        assert row.to_list() == pytest.approx(list(named.values()), nan_ok=True)


def test_rows_without_a_file_or_sex_or_named_twice_are_refused(tmp_path):
    """Each with its reason; offered and refused add up to the table."""
    root = write_odir(
        tmp_path,
        odir_row(1, 50, "Male", *HEALTHY, "1_left.jpg"),
        odir_row(1, 50, "Male", *HEALTHY, "1_left.jpg"),
        odir_row(1, 50, "Male", *HEALTHY, "1_left.png"),
        odir_row(2, 50, "Male", *HEALTHY, "2_left.jpg"),
        odir_row(3, 50, "", *HEALTHY, "3_left.jpg"),
        missing=["2_left.jpg"],
    )
    photographs = odir_photographs(root)
    assert list(photographs.table["image_id"]) == ["odir/1_left"]
    assert photographs.rejected[["reason", "detail"]].to_numpy().tolist() == [
        ["same name twice", "images/1_left.jpg"],
        ["same name twice", "images/1_left.png"],
        ["file missing", "images/2_left.jpg"],
        ["no sex", "images/3_left.jpg"],
    ]


def test_photographs_are_found_where_a_release_keeps_them(tmp_path):
    """In any of the folders; the first that has a name wins."""
    names = [f"{number}_left.jpg" for number in range(len(FOLDERS))]
    rows = [odir_row(number, 50, "Male", *HEALTHY, name) for number, name in enumerate(names)]
    root = write_odir(tmp_path, *rows, missing=names)
    for number, folder in enumerate(FOLDERS):
        place(root, *(f"{folder}/{name}" for name in names[number:]))
    found = [Path(path) for path in odir_photographs(root).table["path"]]
    assert [path.parent for path in found] == [tmp_path / FOLDERS[0]] * len(FOLDERS)
    for name in names[1:]:
        (root / FOLDERS[0] / name).unlink()
    found = [Path(path) for path in odir_photographs(root).table["path"]]
    expected = [FOLDERS[0], *[FOLDERS[1]] * (len(FOLDERS) - 1)]
    assert [path.parent for path in found] == [tmp_path / folder for folder in expected]


def test_the_official_table_says_the_same_of_every_eye(tmp_path):
    """One row per patient becomes two eyes, the same but for the order and the folder."""
    keywords = ("lens dust，normal fundus", "cataract")  # noqa: RUF001 (ODIR's comma)
    excel, kaggle = tmp_path / "excel", tmp_path / "kaggle"
    for root in (excel, kaggle):
        root.mkdir()
    write_odir_excel(
        excel, (4, 53, "Male", *keywords, 0, 0, 0, 1, 0, 0, 0, 0), (12, 1, "Female", *HEALTHY)
    )
    write_odir(
        kaggle,
        odir_row(4, 53, "Male", *keywords, "4_right.jpg", flags="0,0,0,1,0,0,0,0"),
        odir_row(12, 1, "Female", *HEALTHY, "12_right.jpg"),
        odir_row(4, 53, "Male", *keywords, "4_left.jpg", flags="0,0,0,1,0,0,0,0"),
        odir_row(12, 1, "Female", *HEALTHY, "12_left.jpg"),
    )
    official = odir_photographs(excel, healthy_only=False).table
    assert list(official["image_id"]) == [
        "odir/4_left", "odir/4_right", "odir/12_left", "odir/12_right",
    ]  # fmt: skip
    for healthy_only in (True, False):
        tables = [
            odir_photographs(root, healthy_only=healthy_only)
            .table.drop(columns="path")
            .sort_values("image_id", ignore_index=True)
            for root in (excel, kaggle)
        ]
        pd.testing.assert_frame_equal(*tables)


def test_the_kaggle_table_goes_before_the_official_one(tmp_path):
    """Where both stand."""
    write_odir_excel(tmp_path, (4, 53, "Male", *HEALTHY))
    write_odir(tmp_path, odir_row(9, 53, "Male", *HEALTHY, "9_left.jpg"))
    assert list(odir_photographs(tmp_path).table["image_id"]) == ["odir/9_left"]


@pytest.mark.parametrize("keyword", ["no fundus image", "anterior segment image"])
def test_what_shows_no_fundus_is_never_taken(tmp_path, keyword):
    """The official table lists photographs of no fundus too, healthy or not."""
    write_odir_excel(tmp_path, (4, 53, "Male", keyword, "normal fundus"))
    for healthy_only in (True, False):
        photographs = odir_photographs(tmp_path, healthy_only=healthy_only)
        assert refusals(photographs) == {"odir/4_left": "no fundus image"}


def test_a_root_without_either_table_is_refused(tmp_path):
    """Naming both."""
    with pytest.raises(InputError, match=r"holds neither full_df\.csv nor ODIR-5K_Training_Ann"):
        odir_photographs(tmp_path)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (odir_row(1, 50, "Male", "a", "b", "1.jpg"), "filename, row 2: '1.jpg'; must end in"),
        (odir_row(1, 50, "M", "a", "b", "1_left.jpg"), "Sex, row 2: 'M'; allowed in any case: fem"),
        (odir_row(1, "x", "Male", "a", "b", "1_left.jpg"), "Age, row 2: 'x'; must be a number"),
        (
            odir_row(1, 5, "Male", "a", "b", "1_left.jpg", flags="1,0,0,2,0,0,0,0"),
            "C, row 2: '2'; allowed",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path, line, rule):
    """By column, row and value."""
    with pytest.raises(InputError, match=rf"full_df.csv: column .*{rule}"):
        odir_photographs(write_odir(tmp_path, line))


def test_a_wrong_cell_of_the_official_table_is_named(tmp_path):
    """By the row a spreadsheet shows, the header being the first."""
    write_odir_excel(tmp_path, (4, 53, "Male", *HEALTHY), (5, "old", "Male", *HEALTHY))
    with pytest.raises(InputError, match=r"V2\.xlsx: column Patient Age, row 3: 'old'; must be a"):
        odir_photographs(tmp_path)
    write_excel(tmp_path / ODIR_EXCEL, [["ID", "Patient Age"], [1, 2]])
    with pytest.raises(InputError, match=r"V2\.xlsx: columns missing: Patient Sex, Left-Diag"):
        odir_photographs(tmp_path)


@pytest.mark.real_data
def test_every_keyword_of_the_release_is_known_to_be_a_finding_or_none():
    """The counts of docs/data.md, and those of every contrast sum to the table."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    root = Path(os.environ["FUNDUS_REAL_DATA"]) / "odir"
    table = odir_photographs(root, healthy_only=False).table.assign(label=0)
    counts = {
        "amd": 215, "cataract": 283, "drusen": 129, "epiretinal_membrane": 282, "glaucoma": 221,
        "hypertensive": 154, "myopia": 206, "retinopathy": 1309,
    }  # fmt: skip
    assert list(counts) == list(FINDINGS)
    for name, count in counts.items():
        found = answers(table, name)
        assert found.label.eq(1).sum() == count
        assert found.label.eq(0).sum() == 2206
        assert found.label.notna().sum() + sum(found.left_out.values()) == len(table) == 4971


@pytest.mark.real_data
def test_the_release_itself_agrees_with_its_eye_level_labels():
    """Keywords against the release's own ``labels`` column: healthy exactly where it says N."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    root = Path(os.environ["FUNDUS_REAL_DATA"]) / "odir"
    photographs = odir_photographs(root)
    raw = pd.read_csv(root / "full_df.csv")
    healthy = raw["filename"].str.removesuffix(".jpg")[raw["labels"] == "['N']"]
    assert set(photographs.table["image_id"]) == set("odir/" + healthy)
    assert len(photographs.table) + len(photographs.rejected) == len(raw)
    assert photographs.table.groupby("patient_id")["sex"].nunique().max() == 1
    everyone = odir_photographs(root, healthy_only=False).table
    placeholder = everyone["flags"].str.contains("placeholder age")
    assert placeholder.sum() == (raw["Patient Age"] == 1).sum()
    assert everyone["age"].isna().equals(placeholder)
    first = photographs.load(photographs.table.to_dict("records")[0], 0)
    assert first.image.shape == (320, 320, 3)
    assert (first.width, first.height) == (320, 320)


@pytest.mark.real_data
def test_the_release_itself_reads_the_same_from_the_official_layout(tmp_path):
    """Its rows written as the official table, one per patient, give the same eyes."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    root = Path(os.environ["FUNDUS_REAL_DATA"]) / "odir"
    raw = pd.read_csv(root / "full_df.csv")
    patients = raw.iloc[:, :15].drop_duplicates("ID")
    patients.to_excel(tmp_path / ODIR_EXCEL, index=False)
    photographs = odir_photographs(tmp_path, healthy_only=False)
    assert photographs.table.empty
    missing = photographs.rejected["reason"].isin(["file missing", "no fundus image"])
    assert missing.all()
    assert len(photographs.rejected) == 2 * len(patients)
    assert set("odir/" + raw["filename"].str.removesuffix(".jpg")) <= set(
        photographs.rejected["image_id"]
    )
