"""A release's table, CSV or Excel, held to its columns and values by pandera before all else."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import ParseError

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from fundus_ml.errors import InputError

EXCEL = ".xlsx"
MISSING = ("nan", "na", "n/a", "none", "null")
"""Words that stand for an empty cell, in any case, wherever a number or one of a few words must."""


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """What a column of a table must hold.

    Attributes:
        kind: ``text``, or ``number`` (a decimal number, read as float).
        meanings: What each of its few words says, the words in lower case; they may stand in any
            case, and ``1`` also as ``1.0``. None is free text.
        pattern: Regular expression the whole text must match; None is any.
        form: The pattern in words.
        low: The least number allowed.
        high: The largest number allowed.
        also: Other names some releases give the column; it is read under its first.
        required: Whether the table must have it.
        filled: Whether every row must have a value; an empty cell is one without.
    """

    kind: Literal["text", "number"] = "text"
    meanings: Mapping[str, str] | Mapping[str, float] | None = None
    pattern: str | None = None
    form: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    also: tuple[str, ...] = ()
    required: bool = True
    filled: bool = True

    @property
    def rule(self) -> str:
        """The rule in words, for the one line an error is."""
        if self.meanings is not None:
            return f"allowed in any case: {', '.join(self.meanings)}"
        if self.kind == "number":
            return f"must be a number from {self.low:g} to {self.high:g}"
        return self.form or "must not be empty"


def read_table(
    path: Path, columns: Mapping[str, TableColumn], *, header_rows: int = 1
) -> pd.DataFrame:
    """Read a table and validate it.

    Args:
        path: A CSV (UTF-8, with or without a byte-order mark), or the first sheet of an ``.xlsx``.
        columns: Rule of each column by name, or by a pattern such as ``disease_*``; other columns
            are kept as text.
        header_rows: Rows above the first row of values; a column's name is the lowest of its cells
            there that is filled, ``column_3`` where none is.

    Returns:
        One row per row of the file that has any value, in fresh order. ``number`` columns are
        float64, columns with ``meanings`` hold those, all others are text with surrounding blanks
        removed; an empty cell is NaN.

    Raises:
        InputError: The file cannot be read, lacks a column or has one twice, has no rows or one
            longer than the header, or holds a value outside its rule: file, column, row (as a
            spreadsheet counts it) and value in one line.
    """
    renamed = {other: name for name, rule in columns.items() for other in rule.also}
    table = _named(path, _read_cells(path), header_rows, renamed)
    missing = [name for name, rule in columns.items() if rule.required and name not in table]
    if missing:
        raise InputError(
            f"{path}: columns missing: {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    table = table.dropna(how="all")
    if table.empty:
        raise InputError(f"{path}: has no rows")
    present = {
        str(name): rule
        for name in table
        for pattern, rule in columns.items()
        if fnmatchcase(str(name), pattern)
    }
    validated = _validated(path, _without_missing_words(table, present), present)
    for name, rule in present.items():
        if rule.meanings is not None:
            validated[name] = _meant(validated[name], rule.meanings)
    return validated.reset_index(drop=True)


def _read_cells(path: Path) -> pd.DataFrame:
    """Every cell as text, indexed by row and column as a spreadsheet counts them."""
    read = _excel_cells if path.suffix.lower() == EXCEL else _csv_cells
    try:
        cells = read(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    texts: pd.DataFrame = cells.apply(lambda column: column.str.strip()).replace("", None)
    texts.index = pd.RangeIndex(1, len(texts) + 1)
    texts.columns = pd.RangeIndex(1, texts.shape[1] + 1)
    return texts


def _csv_cells(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            # As a row of its own, so that a longer row or a name that stands twice is seen.
            header=None,
            dtype="str",
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
        )
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a CSV table: {str(error).splitlines()[0]}") from None


def _excel_cells(path: Path) -> pd.DataFrame:
    try:
        return pd.read_excel(
            path, header=None, dtype="str", keep_default_na=False, na_values=[""], engine="openpyxl"
        )
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, ParseError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path}: not an Excel table: {said[0]}") from None


def _named(
    path: Path, cells: pd.DataFrame, header_rows: int, renamed: Mapping[str, str]
) -> pd.DataFrame:
    lowest = cells.iloc[:header_rows].ffill().iloc[-1]
    numbered = "column_" + cells.columns.astype("str").to_series(index=cells.columns)
    names = lowest.replace(dict(renamed)).fillna(numbered)
    if names.duplicated().any():
        raise InputError(f"{path}: column {names[names.duplicated()].iloc[0]} stands twice")
    rows: pd.DataFrame = cells.iloc[header_rows:].set_axis(names.tolist(), axis=1)
    return rows


def _without_missing_words(table: pd.DataFrame, rules: Mapping[str, TableColumn]) -> pd.DataFrame:
    spoken = [name for name, rule in rules.items() if rule.kind == "number" or rule.meanings]
    said = table[spoken]
    table = table.copy()
    table[spoken] = said.mask(said.apply(lambda column: column.str.lower().isin(MISSING)))
    return table


def _validated(path: Path, table: pd.DataFrame, rules: Mapping[str, TableColumn]) -> pd.DataFrame:
    schema = pandera.DataFrameSchema(
        {name: _schema_column(rule) for name, rule in rules.items()}, coerce=True
    )
    try:
        validated: pd.DataFrame = schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.sort_values(["index", "column"], kind="stable").iloc[0]
        row, name = int(first["index"]), first["column"]
        value = table.loc[row, name]
        shown = "empty" if pd.isna(value) else repr(value)
        raise InputError(f"{path}: column {name}, row {row}: {shown}; {rules[name].rule}") from None
    return validated


def _schema_column(rule: TableColumn) -> pandera.Column:
    if rule.kind == "number":
        check = pandera.Check.in_range(rule.low, rule.high)
        return pandera.Column("float64", checks=check, nullable=not rule.filled)
    checks = []
    if rule.meanings is not None:
        allowed = list(rule.meanings)
        checks.append(pandera.Check(lambda column: _word(column).isin(allowed)))
    if rule.pattern is not None:
        checks.append(pandera.Check.str_matches(rf"(?:{rule.pattern})\Z"))
    return pandera.Column("str", checks=checks, nullable=not rule.filled)


def _meant(column: pd.Series, meanings: Mapping[str, str] | Mapping[str, float]) -> pd.Series:
    meant: pd.Series = _word(column).map(dict(meanings))
    # A column without any word would come back as objects.
    words = isinstance(next(iter(meanings.values())), str)
    return meant.astype("str") if words else meant.astype("float64")


def _word(column: pd.Series) -> pd.Series:
    # A column of whole numbers comes out of some programs as 1.0 once a cell of it is empty.
    return column.str.lower().str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
