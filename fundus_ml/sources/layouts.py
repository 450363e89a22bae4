"""Tables with one row per patient, whose two photographs stand in two columns."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.sources.headers import ColumnsMissingError, OtherNames
from fundus_ml.sources.tables import Table

_WORDS = ("file", "filename", "image", "photo", "picture", "fundus", "path")
_SIDES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"left": ("left", "os", "l"), "right": ("right", "od", "r")}
)
SIDE_FILES: Mapping[str, str] = MappingProxyType({side: f"{side}_file" for side in _SIDES})
"""Column of each eye's photograph."""


def other_names(side: str) -> tuple[str, ...]:
    """Other names that :data:`SIDE_FILES` may have: ``file_os``, ``Left-Fundus``, ``image L``."""
    pairs = product(_SIDES[side], _WORDS)
    return tuple(name for one, word in pairs for name in (f"{one}_{word}", f"{word}_{one}"))


def one_row_per_eye(path: Path, table: Table, others: OtherNames) -> Table:
    """Give each eye its row, with ``file`` and ``eye``; a table that has ``file`` stays as it is.

    Args:
        path: The table, for errors.
        table: With ``file``, or with both of :data:`SIDE_FILES` and no ``eye``. An empty cell there
            is an eye without a photograph, and has no row.
        others: Other names of the columns, for errors.

    Raises:
        InputError: It has neither, ``eye`` beside the two columns, or a row with neither file.
    """
    rows, columns = table.rows, list(SIDE_FILES.values())
    if "file" in rows:
        return table
    if not set(columns) <= set(rows):
        raise ColumnsMissingError(
            path,
            ["file"],
            [str(name) for name in rows],
            others,
            choice=f", or {' and '.join(columns)} in a table with one row per patient",
        )
    if "eye" in rows:
        raise InputError(
            f"{path}: column eye: with {' and '.join(columns)} a row is about both eyes; leave out "
            "the one that is not meant"
        )
    neither = rows[columns].isna().all(axis=1)
    if neither.any():
        patient = rows.loc[neither, "patient_id"].iloc[0]
        raise InputError(
            f"{path}: patient_id={patient}: names no photograph in {' or '.join(columns)}"
        )
    sides = [
        rows.drop(columns=columns).assign(file=rows[column], eye=eye)
        for eye, column in SIDE_FILES.items()
    ]
    eyes = pd.concat(sides).sort_index(kind="stable").dropna(subset=["file"])
    empty = 2 * len(rows) - len(eyes)
    line = f"{path.name}: a row is a patient, whose eyes are in {' and '.join(columns)}"
    more = f"; {empty} empty cells there are eyes without a photograph" if empty else ""
    return Table(eyes.reset_index(drop=True), (*table.assumed, line + more))
