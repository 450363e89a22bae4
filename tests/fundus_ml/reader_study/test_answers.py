"""CSV files of readers: what the page writes is read, anything else ends in one line."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.reader_study.answers import read_answers, study_of
from tests.fundus_ml.reader_study.simulated_readers import make_trials, simulate, write_csv

STUDY = "0123456789ab"
TRIALS = make_trials(trials=8, catch_trials=2)


@pytest.fixture
def files(tmp_path):
    """Answers of two readers."""
    return [
        write_csv(
            simulate(TRIALS, reader=name, d_prime=1, rng=np.random.default_rng(seed)),
            TRIALS,
            tmp_path / f"{name}.csv",
            study=STUDY,
        )
        for seed, name in enumerate(("ann-1", "bo_2"))
    ]


def test_answers_come_with_what_the_key_knows(files):
    assert study_of(files) == STUDY
    answers = read_answers(files, TRIALS)
    assert answers.groupby("reader").size().to_dict() == {"ann-1": 10, "bo_2": 10}
    expected = simulate(TRIALS, reader="bo_2", d_prime=1, rng=np.random.default_rng(1))
    found = answers[answers["reader"] == "bo_2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        found[list(expected.columns)], expected, check_dtype=False, check_column_type=False
    )


def test_a_reader_who_stopped_early_or_saved_with_a_spreadsheet_is_taken(files):
    rows = pd.read_csv(files[0]).head(4)
    rows.sample(frac=1, random_state=0).to_csv(files[0], index=False, encoding="utf-8-sig")
    answers = read_answers(files, TRIALS)
    assert answers.groupby("reader").size().to_dict() == {"ann-1": 4, "bo_2": 10}


def rewrite(path, column, value, *, row=2):
    rows = pd.read_csv(path, dtype=str)
    rows.loc[row, column] = value
    rows.to_csv(path, index=False)


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("reader", "Ann Smith", r"reader=Ann Smith: must match \[a-z0-9_-\]\{1,20\}"),
        ("reader", "cy", "reader=cy: one file holds one reader, ann-1"),
        ("trial", "11", "trial=11: must be one of 1 to 10"),
        ("trial", "3.5", r"trial=3\.5: must be one of 1 to 10"),
        ("trial", "1", "trial=1: answered twice, must be once"),
        ("answer", "top", "answer=top: allowed: left, right"),
        ("reaction_ms", "150", "reaction_ms=150: must be a number of 200 or more"),
        ("reaction_ms", "fast", "reaction_ms=fast: must be a number of 200 or more"),
        ("shown_at", "0", "shown_at=0: must be one of 1 to 10"),
        ("question", "female", "question=female: is not what the key of the study says"),
        ("image_id", "odir/9", "image_id=odir/9: is not what the key of the study says"),
        ("catch", "1", "catch=1: is not what the key of the study says"),
        ("correct", "2", "correct=2: is not what the key of the study says"),
        ("side_of_truth", "left", "side_of_truth=left: is not what the key of the study says"),
    ],
)
def test_a_wrong_cell_is_named_by_its_line(files, column, value, line):
    rewrite(files[0], column, value)
    with pytest.raises(InputError, match=rf"ann-1\.csv, line 4: {line}"):
        read_answers(files, TRIALS)


def test_another_study_is_refused(files):
    rewrite(files[1], "study", "ffffffffffff", row=5)
    with pytest.raises(
        InputError, match=rf"bo_2\.csv, line 7: study=ffffffffffff: must be {STUDY}, the study of"
    ):
        study_of(files)


def test_a_reader_answers_once(files, tmp_path):
    again = tmp_path / "again.csv"
    again.write_bytes(files[0].read_bytes())
    with pytest.raises(InputError, match=r"again\.csv: reader=ann-1 has answered in .*ann-1\.csv"):
        read_answers([*files, again], TRIALS)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", r"a\.csv: cannot be read as CSV: No columns to parse"),
        (b"\xff\xfe\x00a", r"a\.csv: cannot be read as CSV: .*decode"),
        (b"study;reader;trial\n1;2;3\n", r"a\.csv: columns missing: study, .*needed, with commas"),
    ],
)
def test_what_is_no_table_of_answers_is_refused(tmp_path, content, line):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=line):
        study_of([path])


def test_missing_columns_rows_and_files_are_named(files):
    rows = pd.read_csv(files[0])
    rows.drop(columns=["catch", "shown_at"]).to_csv(files[0], index=False)
    with pytest.raises(InputError, match=r"ann-1\.csv: columns missing: catch, shown_at; needed"):
        study_of(files)
    rows.head(0).to_csv(files[0], index=False)
    with pytest.raises(InputError, match=r"ann-1\.csv: holds no answer"):
        study_of(files)
    files[0].unlink()
    with pytest.raises(InputError, match=r"ann-1\.csv: no such file"):
        study_of(files)


@pytest.mark.parametrize(
    "name", ["a\r\nb", "a\rb", "a\tb", '"a",\n\nb', "=1+1", "x" * 5000, "\u202eb"]
)
@pytest.mark.parametrize("written", ["\n", "\r\n"])
def test_any_name_of_an_eye_comes_back_from_a_browser(tmp_path, name, written):
    """A text field writes each line break in the way of its system."""
    trials = TRIALS.assign(image_id=f"odir/{name}")
    answered = simulate(TRIALS, reader="ann", d_prime=1, rng=np.random.default_rng(0))
    path = write_csv(answered, TRIALS, tmp_path / "ann.csv", study=STUDY)
    rows = pd.read_csv(path, dtype=str)
    rows["image_id"] = "odir/" + "\n".join(name.splitlines()).replace("\n", written)
    rows.to_csv(path, index=False)
    assert read_answers([path], trials)["image_id"].eq(f"odir/{name}").all()


def test_a_line_break_in_a_readers_file_stays_out_of_the_line(files):
    rewrite(files[0], "image_id", "odir/9\n\x1b[31mred")
    with pytest.raises(
        InputError, match=r"image_id=odir/9  \[31mred: is not what the key"
    ) as caught:
        read_answers(files, TRIALS)
    assert "\n" not in str(caught.value)
