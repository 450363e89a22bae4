"""The judgement of rows, against one written out row by row."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.sources.refusals import offer
from tests.fundus_ml.sources.tiny_releases import locked, place, refusals

FILES = ("a.jpg", "b.jpg", "gone.jpg", "../out.jpg")


def make_rows(*rows, **own):
    """Rows of (file, patient, sex)."""
    files, patients, sexes = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {
            "image_id": [f"x/{file}" for file in files],
            "source": "x",
            "patient_id": list(patients),
            "eye": "unknown",
            "sex": pd.Series(sexes, dtype="str"),
            "age": 50.0,
            "camera": "unknown",
            "healthy": True,
            "flags": "",
        },
        columns=list(OFFERED_COLUMNS),
    )
    return frame.assign(**own), [[file] for file in files]


def judge(root, *rows, unwanted=None, **own):
    frame, named = make_rows(*rows, **own)
    return offer(frame, name="x", root=root, named=named, unwanted=unwanted)


def plain_reasons(rows):
    """The rules of :func:`offer`, one row after the other."""
    sexes = {}
    for _, patient, sex in rows:
        sexes.setdefault(patient, set()).update({sex} - {None})
    seen, reasons = set(), []
    for file, patient, sex in rows:
        if file.startswith(".."):
            reasons.append("path leaves the release")
        elif sex is None:
            reasons.append("no sex")
        elif len(sexes[patient]) == 2:
            reasons.append("sex disagrees")
        elif file in seen:
            reasons.append("same name twice")
        elif file == "gone.jpg":
            reasons.append("file missing")
        else:
            reasons.append(None)
        seen.add(file)
    return reasons


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(FILES),
            st.sampled_from("pqr"),
            st.sampled_from(["female", "male", None]),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_is_taken_or_refused_for_its_first_reason(tmp_path, rows):
    """In the order of the table, nothing lost and nothing doubled."""
    place(tmp_path, "a.jpg", "b.jpg")
    photographs = judge(tmp_path, *rows)
    reasons = plain_reasons(rows)
    taken = [f"x/{row[0]}" for row, reason in zip(rows, reasons, strict=True) if reason is None]
    refused = [(f"x/{row[0]}", reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    assert list(photographs.table["image_id"]) == taken
    rejected = photographs.rejected[["image_id", "reason"]]
    assert list(rejected.itertuples(index=False, name=None)) == refused
    assert list(photographs.table.index) == list(range(len(taken)))


def test_a_sources_own_reasons_come_last(tmp_path):
    """In the order it names them; an empty detail does not hold."""
    place(tmp_path, "a.jpg", "b.jpg")
    photographs = judge(
        tmp_path,
        ("a.jpg", "p", "male"),
        ("b.jpg", "q", "male"),
        ("gone.jpg", "r", "male"),
        unwanted={
            "dull": pd.Series([None, "grey", None], dtype="str"),
            "not healthy": pd.Series([None, "scar", "scar"], dtype="str"),
        },
    )
    assert photographs.rejected.to_numpy().tolist() == [
        ["x/b.jpg", "dull", "grey"],
        ["x/gone.jpg", "file missing", "gone.jpg"],
    ]
    assert list(photographs.table["path"]) == [str(tmp_path / "a.jpg")]


def test_a_sources_own_columns_go_along(tmp_path):
    """And must not be ones the manifest needs."""
    place(tmp_path, "a.jpg")
    row = ("a.jpg", "p", "male")
    assert judge(tmp_path, row, disease_scar=1.0).table["disease_scar"].tolist() == [1]
    with pytest.raises(AssertionError, match="quality"):
        judge(tmp_path, row, quality=1.0)


def test_a_locked_folder_costs_its_own_rows_only(tmp_path_factory):
    """They say that it may not be read; the others are kept."""
    root = tmp_path_factory.mktemp("open")
    for folder in (root, *root.parents[:2]):  # pytest keeps others out of its folders
        folder.chmod(0o755)
    place(root, "a.jpg", "shut/b.jpg")
    with locked(root / "shut"):
        photographs = judge(root, ("a.jpg", "p", "male"), ("shut/b.jpg", "q", "male"))
    assert list(photographs.table["image_id"]) == ["x/a.jpg"]
    assert refusals(photographs) == {"x/shut/b.jpg": "unreadable"}
    assert photographs.rejected["detail"].tolist() == ["shut/b.jpg: Permission denied"]
