"""Any folder of photographs with a table beside them: the way in for one's own data."""

import unicodedata
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from fundus_ml.data.contrasts import FINDING
from fundus_ml.data.manifest import EYES, MANIFEST_COLUMNS, SEXES
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.errors import InputError, listed
from fundus_ml.imaging.photographs import shown
from fundus_ml.sources.cells import EXCEL
from fundus_ml.sources.files import without_suffix
from fundus_ml.sources.headers import ColumnsMissingError
from fundus_ml.sources.laterality import told_eyes
from fundus_ml.sources.layouts import SIDE_FILES, one_row_per_eye, other_names
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import OLDEST, joined_flags, plausible_ages
from fundus_ml.sources.tables import Table, TableColumn, read_table

TEMPLATE = "docs/labels_template.csv"
"""A table to start from, in this repository."""
TABLES = (".csv", ".tsv", ".txt", *EXCEL)
"""Endings that a table's file may have."""
_SPELLINGS = {
    "f": "female", "m": "male", "w": "female", "woman": "female", "man": "male",
} | {sex: sex for sex in SEXES}  # fmt: skip
_EYES = {eye: eye for eye in EYES} | {
    "l": "left", "os": "left", "le": "left", "left eye": "left",
    "r": "right", "od": "right", "re": "right", "right eye": "right",
}  # fmt: skip
_HEALTHY = {"yes": 1.0, "true": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "0": 0.0}
_FILE = TableColumn(
    pattern=r"[^\x00-\x1f\x7f]+",
    form="must be a path without line breaks or other control characters",
    required=False,
    also=(
        "filename", "file_path", "image", "image_file", "image_name", "image_path", "image_id",
        "photo", "photograph", "picture", "path", "img", "img_path", "image_filename",
    ),
)  # fmt: skip
_PATIENT = (
    "patient", "patient_no", "patient_nr", "patient_number", "pid", "person", "person_id",
    "subject", "subject_id", "participant", "participant_id",
)  # fmt: skip
_COLUMNS = {
    "file": _FILE,
    "patient_id": TableColumn(kind="id", also=_PATIENT),
    "sex": TableColumn(
        meanings=_SPELLINGS,
        form="a number is not guessed, as 1 is male in BRSET and female in PAPILA",
        filled=False,
        also=("gender", "patient_sex", "patient_gender", "sex_at_birth"),
    ),
    "eye": TableColumn(
        meanings=_EYES,
        required=False,
        filled=False,
        also=("laterality", "side", "eye_side", "exam_eye", "which_eye"),
    ),
    "age": TableColumn(
        kind="number",
        low=0,
        high=OLDEST,
        required=False,
        filled=False,
        also=("patient_age", "age_years"),
    ),
    "camera": TableColumn(required=False, filled=False, also=("camera_model",)),
    "healthy": TableColumn(meanings=_HEALTHY, required=False, filled=False),
    "disease_*": TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False),
    "finding_*": TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False),
} | {
    column: replace(_FILE, filled=False, also=other_names(side))
    for side, column in SIDE_FILES.items()
}


def folder_photographs(
    root: Path, *, table: str = "labels.csv", name: str = "folder"
) -> Photographs:
    """Read a table of one's own and find the photographs it names.

    Args:
        root: Folder of the table and the photographs.
        table: CSV or ``.xlsx`` with the columns ``file`` (path below ``root``), ``patient_id`` and
            ``sex`` (female or male, f or m, in any case), and where known ``eye`` (left, right,
            OS, OD, unknown; else the file's name may say it), ``age`` in years, ``camera``,
            ``healthy`` (yes/no, true/false, 1/0), ``disease_...`` and ``finding_...`` (0 or 1). A
            row that does not say whether its eye is healthy counts as healthy, unless a finding of
            it is 1. In place of
            ``file`` and ``eye`` a row per patient may have ``left_file`` and ``right_file``. Any
            other column is kept as text.
        name: Stands before every ``image_id`` and ``patient_id``; give each release its own.

    Returns:
        The eyes. Rows are refused as :func:`~fundus_ml.sources.refusals.offer` says; ``same name
        twice`` leaves the extension out, as ``image_id`` does.

    Raises:
        InputError: No table or one without its columns, a value that is not allowed, or a column
            with a name that the manifest needs for itself.
    """
    path = root / table
    written, assumed = _read(path)
    own = _own_columns(path, written)
    age = plausible_ages(_column(written, "age", float("nan")))
    healthy, concluded = _healthy(path, written)
    file = written["file"].map(_plain_path)
    eye, told = told_eyes(table, file, _column(written, "eye", float("nan")))
    rows = pd.DataFrame(
        {
            "image_id": f"{name}/" + without_suffix(file),
            "source": name,
            "patient_id": f"{name}/" + written["patient_id"],
            "eye": eye,
            "sex": written["sex"],
            "age": age.years,
            "camera": _column(written, "camera", "unknown"),
            "healthy": healthy,
            "flags": joined_flags(age.remarks),
        },
        columns=list(OFFERED_COLUMNS),
    )
    return offer(
        rows.join(own),
        name=name,
        root=root,
        named=[[text] for text in written["file"]],
        assumed=(*assumed, *told, *concluded),
    )


def _read(path: Path) -> Table:
    if not path.exists():
        raise InputError(
            f"{path}: no such table{_tables_in(path.parent)}; "
            f"it needs the columns file, patient_id and sex, as in {TEMPLATE}"
        )
    others = {name: rule.also for name, rule in _COLUMNS.items()}
    try:
        return one_row_per_eye(path, read_table(path, _COLUMNS), others)
    except ColumnsMissingError as error:
        raise InputError(f"{error}; {TEMPLATE} is a table to start from") from None


def _tables_in(folder: Path) -> str:
    """Say which tables lie in a folder."""
    found = sorted(shown(file.name) for file in folder.glob("*") if file.suffix.lower() in TABLES)
    return f"; name one with table=: {listed(found)}" if found else ""


def _plain_path(text: str) -> str:
    """One spelling of a path: composed Unicode, slashes, no ``./``."""
    return str(PurePosixPath(unicodedata.normalize("NFC", text).replace("\\", "/")))


def _own_columns(path: Path, written: pd.DataFrame) -> pd.DataFrame:
    own = [str(name) for name in written if name not in _COLUMNS or name in SIDE_FILES.values()]
    taken = [name for name in own if name in {*MANIFEST_COLUMNS, "path"}]
    if taken:
        raise InputError(
            f"{path}: column {taken[0]}: the manifest has a column of that name; rename yours"
        )
    return written[own]


def _healthy(path: Path, written: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Read which eyes are healthy; one with a finding is none that was not looked at."""
    said = _column(written, "healthy", float("nan"))
    findings = [name for name in written if str(name).startswith(FINDING)]
    shows = written[findings].eq(1).any(axis=1)
    lines = [
        f"{path.name}: column healthy: {rows.sum()} eyes with a finding of 1, {what}"
        for rows, what in (
            (said.isna() & shows, "of which it says nothing, are not healthy"),
            (said.eq(1) & shows, "which it calls healthy, stay so"),
        )
        if rows.any()
    ]
    return said.where(said.notna(), ~shows).astype(bool), lines


def _column(written: pd.DataFrame, name: str, unknown: str | float) -> pd.Series:
    if name in written:
        return written[name].fillna(unknown)
    return pd.Series(unknown, index=written.index)
