"""Any folder of photographs with a table beside them: the way in for one's own data."""

from pathlib import Path

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.manifest import EYES, SEXES
from fundus_ml.sources.files import load_file, rejected_rows
from fundus_ml.sources.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.sources.tables import TableColumn, read_table

_SPELLINGS = {"f": "female", "m": "male"} | {sex: sex for sex in SEXES}
_HEALTHY = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_COLUMNS = {
    "file": TableColumn(),
    "patient_id": TableColumn(),
    "sex": TableColumn(filled=False),
    "eye": TableColumn(required=False, filled=False),
    "age": TableColumn(kind="number", low=0, high=120, required=False, filled=False),
    "camera": TableColumn(required=False, filled=False),
    "healthy": TableColumn(required=False, filled=False),
}


def folder_photographs(
    root: Path, *, table: str = "labels.csv", name: str = "folder"
) -> Photographs:
    """Read a table of one's own and find the photographs it names.

    Args:
        root: Folder of the table and the photographs.
        table: CSV with the columns ``file`` (path below ``root``), ``patient_id`` and ``sex``
            (female or male, f or m, in any case), and where known ``eye`` (left, right, unknown),
            ``age`` in years, ``camera`` and ``healthy`` (yes/no, true/false, 1/0). A row that
            does not say whether its eye is healthy counts as healthy.
        name: Stands before every ``image_id`` and ``patient_id``; give each release its own.

    Returns:
        The eyes; refused rows with the reasons ``no sex``, ``same name twice`` (its extension
        left out, as in ``image_id``) and ``file missing``.

    Raises:
        InputError: No table or one without its columns, or a value that is not allowed.
    """
    path = root / table
    rows = read_table(path, _COLUMNS)
    offered = pd.DataFrame(
        {
            "image_id": f"{name}/" + rows["file"].str.replace(r"\.[^./]*$", "", regex=True),
            "source": name,
            "patient_id": f"{name}/" + rows["patient_id"],
            "eye": _chosen(path, rows, "eye", {eye: eye for eye in EYES}).fillna("unknown"),
            "sex": _chosen(path, rows, "sex", _SPELLINGS),
            "age": rows.get("age", pd.Series(float("nan"), index=rows.index)),
            "camera": _column(rows, "camera").fillna("unknown"),
            "healthy": _chosen(path, rows, "healthy", _HEALTHY).fillna(value=True).astype(bool),
        },
        columns=list(OFFERED_COLUMNS),
    )
    offered["path"] = [str(root / file) for file in rows["file"]]
    refused = pd.Series("", index=rows.index)
    refused[[not Path(file).is_file() for file in offered["path"]]] = "file missing"
    refused[offered["image_id"].duplicated()] = "same name twice"
    refused[offered["sex"].isna()] = "no sex"
    taken = refused == ""
    reasons = zip(offered["image_id"], refused, rows["file"], strict=True)
    return Photographs(
        name=name,
        table=offered[taken].reset_index(drop=True),
        rejected=rejected_rows([row for row in reasons if row[1]]),
        load=load_file,
    )


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows[name] if name in rows else pd.Series(None, index=rows.index, dtype="object")


def _chosen(
    path: Path, rows: pd.DataFrame, name: str, meanings: dict[str, str] | dict[str, bool]
) -> pd.Series:
    """Translate a column of a few words, in any case; an empty cell stays empty."""
    written = _column(rows, name)
    chosen = written.map(lambda word: meanings.get(str(word).lower()), na_action="ignore")
    chosen = chosen.astype("object")  # a column without a word would come back as numbers
    wrong = (written.notna() & chosen.isna()).to_numpy(bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: column {name}, row {row + 2}: {written.iloc[row]!r}; "
            f"allowed in any case: {', '.join(meanings)}"
        )
    return chosen
