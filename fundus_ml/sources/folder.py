"""Any folder of photographs with a table beside them: the way in for one's own data."""

from pathlib import Path, PurePosixPath

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.manifest import EYES, MANIFEST_COLUMNS, SEXES
from fundus_ml.sources.files import without_suffix
from fundus_ml.sources.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.sources.refusals import offer
from fundus_ml.sources.remarks import OLDEST, joined_flags, plausible_ages
from fundus_ml.sources.tables import TableColumn, read_table

_SPELLINGS = {"f": "female", "m": "male"} | {sex: sex for sex in SEXES}
_HEALTHY = {"yes": 1.0, "true": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "0": 0.0}
_COLUMNS = {
    "file": TableColumn(),
    "patient_id": TableColumn(),
    "sex": TableColumn(meanings=_SPELLINGS, filled=False),
    "eye": TableColumn(meanings={eye: eye for eye in EYES}, required=False, filled=False),
    "age": TableColumn(kind="number", low=0, high=OLDEST, required=False, filled=False),
    "camera": TableColumn(required=False, filled=False),
    "healthy": TableColumn(meanings=_HEALTHY, required=False, filled=False),
    "disease_*": TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False),
}


def folder_photographs(
    root: Path, *, table: str = "labels.csv", name: str = "folder"
) -> Photographs:
    """Read a table of one's own and find the photographs it names.

    Args:
        root: Folder of the table and the photographs.
        table: CSV or ``.xlsx`` with the columns ``file`` (path below ``root``), ``patient_id`` and
            ``sex`` (female or male, f or m, in any case), and where known ``eye`` (left, right,
            unknown), ``age`` in years, ``camera``, ``healthy`` (yes/no, true/false, 1/0) and
            ``disease_...`` (0 or 1). A row that does not say whether its eye is healthy counts as
            healthy. Any other column is kept as text.
        name: Stands before every ``image_id`` and ``patient_id``; give each release its own.

    Returns:
        The eyes. Rows are refused as :func:`~fundus_ml.sources.refusals.offer` says; ``same name
        twice`` leaves the extension out, as ``image_id`` does.

    Raises:
        InputError: No table or one without its columns, a value that is not allowed, or a column
            with a name that the manifest needs for itself.
    """
    path = root / table
    written = read_table(path, _COLUMNS)
    own = _own_columns(path, written)
    age = plausible_ages(_column(written, "age", float("nan")))
    file = written["file"].map(lambda text: str(PurePosixPath(text)))
    rows = pd.DataFrame(
        {
            "image_id": f"{name}/" + without_suffix(file),
            "source": name,
            "patient_id": f"{name}/" + written["patient_id"],
            "eye": _column(written, "eye", "unknown"),
            "sex": written["sex"],
            "age": age.years,
            "camera": _column(written, "camera", "unknown"),
            "healthy": _column(written, "healthy", 1.0).astype(bool),
            "flags": joined_flags(age.remarks),
        },
        columns=list(OFFERED_COLUMNS),
    )
    return offer(rows.join(own), name=name, root=root, named=[[text] for text in written["file"]])


def _own_columns(path: Path, written: pd.DataFrame) -> pd.DataFrame:
    own = [str(name) for name in written if name not in _COLUMNS]
    taken = [name for name in own if name in {*MANIFEST_COLUMNS, "path"}]
    if taken:
        raise InputError(
            f"{path}: column {taken[0]}: the manifest has a column of that name; rename yours"
        )
    return written[own]


def _column(written: pd.DataFrame, name: str, unknown: str | float) -> pd.Series:
    if name in written:
        return written[name].fillna(unknown)
    return pd.Series(unknown, index=written.index)
