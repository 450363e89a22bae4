"""Which eye a photograph shows, where only the name of its file says it."""

import re

import pandas as pd

_SIDES = {"left": "left", "os": "left", "l": "left", "right": "right", "od": "right", "r": "right"}
_WORD = re.compile(rf"(?<![^\W_])(?:{'|'.join(_SIDES)})(?![^\W_])", re.IGNORECASE)
"""A word for a side, with no letter or digit before or after it."""


def sides_in_names(files: pd.Series) -> pd.Series:
    """Read left or right off the names of files.

    Args:
        files: Paths with slashes; only the last part of each is read: ``12_OD.jpg``, ``left-3.png``
            and ``a_R_2.tif`` say an eye, ``retinal.jpg`` and ``l_or_r.jpg`` do not.

    Returns:
        ``left``, ``right``, or NaN where the name says neither or both.
    """
    return files.map(_side).astype("str")


def told_eyes(table: str, files: pd.Series, written: pd.Series) -> tuple[pd.Series, list[str]]:
    """Settle which eye each photograph shows: as the table says, else as its file is named.

    Args:
        table: Name of the table, for what is said.
        files: Paths of the photographs, with slashes.
        written: Left, right, unknown, or NaN where the table says nothing.

    Returns:
        Left, right or unknown for each, and a line for each assumption, with counts.
    """
    written, named = written.astype("str"), sides_in_names(files)
    taken = named.where(written.isna())
    told = []
    if taken.notna().any():
        left, right = int(taken.eq("left").sum()), int(taken.eq("right").sum())
        silent = int((written.isna() & named.isna()).sum())
        more = f"; {silent} names say neither or both and stay unknown" if silent else ""
        told.append(
            f"{table}: eye read off the names of {left + right} files, {left} left and "
            f"{right} right{more}, such as {_example(files, taken)}"
        )
    contradicting = named.where(written.isin(["left", "right"]) & named.notna() & named.ne(written))
    if contradicting.notna().any():
        told.append(
            f"{table}: {contradicting.notna().sum()} of {named.notna().sum()} files are named for "
            f"the other eye than the table says, and the table is taken, such as "
            f"{_example(files, contradicting)}"
        )
    return written.fillna(named).fillna("unknown"), told


def _side(file: str) -> str | None:
    sides = {_SIDES[word.lower()] for word in _WORD.findall(file.rpartition("/")[2])}
    return sides.pop() if len(sides) == 1 else None


def _example(files: pd.Series, sides: pd.Series) -> str:
    """``12_OD.jpg for right``, the first."""
    return f"{files[sides.notna()].iloc[0]} for {sides.dropna().iloc[0]}"
