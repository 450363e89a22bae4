"""A release's table, held to its columns and values by pandera before anything else happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from fundus_ml.errors import InputError

_TYPES = {"text": "str", "number": "float64"}


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """What a column of a table must hold.

    Attributes:
        kind: ``text``, or ``number`` (a decimal number, read as float).
        allowed: The values it may take; None is any.
        low: The least number allowed.
        high: The largest number allowed.
        required: Whether the table must have it.
        filled: Whether every row must have a value; an empty cell is one without.
    """

    kind: Literal["text", "number"] = "text"
    allowed: tuple[str, ...] | None = None
    low: float = float("-inf")
    high: float = float("inf")
    required: bool = True
    filled: bool = True

    @property
    def rule(self) -> str:
        """The rule in words, for the one line an error is."""
        if self.allowed is not None:
            return f"allowed: {', '.join(self.allowed)}"
        if self.kind == "number":
            return f"must be a number from {self.low:g} to {self.high:g}"
        return "must not be empty"


def read_table(path: Path, columns: Mapping[str, TableColumn]) -> pd.DataFrame:
    """Read a CSV (UTF-8, with or without a byte-order mark) and validate it.

    Args:
        path: The file.
        columns: Rule of each column by name; other columns are kept as text.

    Returns:
        One row per row of the file; ``number`` columns are float64, all others text with
        surrounding blanks removed; an empty cell is NaN.

    Raises:
        InputError: The file cannot be read, lacks a column or has one twice, has no rows or one
            longer than the header, or holds a value outside its rule: file, column, row (the header
            is row 1, blank lines do not count) and value in one line.
    """
    table = _read_text(path)
    missing = [name for name, rule in columns.items() if rule.required and name not in table]
    if missing:
        raise InputError(
            f"{path}: columns missing: {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    if table.empty:
        raise InputError(f"{path}: has no rows")
    present = {name: rule for name, rule in columns.items() if name in table}
    schema = pandera.DataFrameSchema(
        {name: _schema_column(rule) for name, rule in present.items()}, coerce=True
    )
    try:
        validated: pd.DataFrame = schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.sort_values(["index", "column"], kind="stable").iloc[0]
        name, value = first["column"], table.loc[first["index"], first["column"]]
        shown = "empty" if pd.isna(value) else repr(value)
        raise InputError(
            f"{path}: column {name}, row {int(first['index']) + 2}: {shown}; {present[name].rule}"
        ) from None
    return validated


def _read_text(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            # As a row of its own, so that a longer row or a name that stands twice is seen.
            header=None,
            dtype="str",
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=[""],
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except (OSError, UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a CSV table: {str(error).splitlines()[0]}") from None
    table = table.apply(lambda column: column.str.strip()).replace("", None)
    names = table.iloc[0].fillna("")
    if names.duplicated().any():
        raise InputError(f"{path}: column {names[names.duplicated()].iloc[0]} stands twice")
    rows: pd.DataFrame = table.iloc[1:].set_axis(names.tolist(), axis=1)
    return rows.reset_index(drop=True)


def _schema_column(rule: TableColumn) -> pandera.Column:
    if rule.kind == "number":
        checks = [pandera.Check.in_range(rule.low, rule.high)]
    else:
        checks = [] if rule.allowed is None else [pandera.Check.isin(rule.allowed)]
    return pandera.Column(_TYPES[rule.kind], checks=checks, nullable=not rule.filled)
