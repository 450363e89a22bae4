"""ODIR-5K in the Kaggle layout: ``full_df.csv``, one row per photograph of an eye."""

from pathlib import Path

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.sources.files import load_file, rejected_rows
from fundus_ml.sources.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.sources.tables import TableColumn, read_table

TABLE = "full_df.csv"
FOLDERS = (
    "images",
    "ODIR-5K/ODIR-5K/Training Images",
    "ODIR-5K/Training Images",
    "Training Images",
    "preprocessed_images",
    ".",
)
"""Where a release keeps its photographs, in the order they are looked for."""
HEALTHY_KEYWORD = "normal fundus"
PLACEHOLDER_AGE = 1
_COLUMNS = {
    "ID": TableColumn(),
    "Patient Age": TableColumn(kind="number", low=0, high=120),
    "Patient Sex": TableColumn(allowed=("Female", "Male")),
    "Left-Diagnostic Keywords": TableColumn(),
    "Right-Diagnostic Keywords": TableColumn(),
    "filename": TableColumn(),
}


def odir_photographs(root: Path, *, healthy_only: bool = True) -> Photographs:
    """Read the table of ODIR-5K and find its photographs.

    A row is about its own file, ``filename``, and so about the eye in that name. The eye is
    healthy when its keywords contain ``normal fundus``, also beside a note on quality; the
    patient-level flags say nothing about one eye and are not read. The release writes age 1 where
    the age is unknown: those eyes are kept with ``age`` NaN, so that ``table["age"].isna()`` counts
    them. The camera is not known.

    Args:
        root: Folder of ``full_df.csv``; photographs lie in one of :data:`FOLDERS` under it.
        healthy_only: Refuse eyes that are not healthy.

    Returns:
        The eyes, as ``odir/0_left`` of patient ``odir/0``; refused rows with the reasons
        ``not healthy``, ``same name twice`` and ``file missing``.

    Raises:
        InputError: No table or one without its columns, a value that cannot be, a file name that
            does not say which eye it is.
    """
    path = root / TABLE
    table = read_table(path, _COLUMNS)
    stem = table["filename"].str.replace(r"\.[^.]*$", "", regex=True)
    eye = stem.str.extract(r"_(left|right)$", expand=False)
    if eye.isna().any():
        row = int(eye.isna().to_numpy().argmax())
        raise InputError(
            f"{path}: column filename, row {row + 2}: {table['filename'].iloc[row]!r}; "
            "must end in _left or _right before its extension"
        )
    left, right = (table[f"{side}-Diagnostic Keywords"] for side in ("Left", "Right"))
    keywords = left.where(eye == "left", right)
    offered = pd.DataFrame(
        {
            "image_id": "odir/" + stem,
            "source": "odir",
            "patient_id": "odir/" + table["ID"],
            "eye": eye,
            "sex": table["Patient Sex"].str.lower(),
            "age": table["Patient Age"].mask(table["Patient Age"] == PLACEHOLDER_AGE),
            "camera": "unknown",
            "healthy": keywords.str.contains(HEALTHY_KEYWORD, case=False, regex=False),
        },
        columns=list(OFFERED_COLUMNS),
    )
    files = _files(root)
    offered["path"] = table["filename"].map(files).astype("str")
    refused = pd.Series("", index=table.index)
    refused[~table["filename"].isin(files)] = "file missing"
    refused[offered["image_id"].duplicated()] = "same name twice"
    if healthy_only:
        refused[~offered["healthy"]] = "not healthy"
    detail = table["filename"].where(refused != "not healthy", keywords)
    taken = refused == ""
    rows = zip(offered["image_id"][~taken], refused[~taken], detail[~taken], strict=True)
    return Photographs(
        name="odir",
        table=offered[taken].reset_index(drop=True),
        rejected=rejected_rows(list(rows)),
        load=load_file,
    )


def _files(root: Path) -> dict[str, str]:
    """Path by file name; the first of :data:`FOLDERS` that has a name wins."""
    found: dict[str, str] = {}
    for folder in reversed(FOLDERS):
        if (root / folder).is_dir():
            found |= {path.name: str(path) for path in (root / folder).iterdir() if path.is_file()}
    return found
