"""A release's table, CSV or Excel, held to its columns and values by pandera before all else."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from fundus_ml.errors import InputError, printable
from fundus_ml.sources.cells import read_cells
from fundus_ml.sources.headers import ColumnsMissingError, count_known, known_names
from fundus_ml.sources.ids import MISSING, settle_ids


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """What a column of a table must hold.

    Attributes:
        kind: ``text``, ``number`` (a decimal number, read as float), or ``id`` (text that names a
            person; :func:`~fundus_ml.sources.ids.settle_ids`).
        meanings: What each of its few words says, the words in lower case; they may stand in any
            case, and ``1`` also as ``1.0``. None is free text.
        pattern: Regular expression the whole text must match; None is any.
        form: The pattern in words, or what else to know of the few words.
        low: The least number allowed.
        high: The largest number allowed.
        also: Other names the column may have; it is read under its own, and that is said.
        required: Whether the table must have it.
        filled: Whether every row must have a value; an empty cell is one without.
    """

    kind: Literal["text", "number", "id"] = "text"
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
            allowed = f"allowed in any case: {', '.join(self.meanings)}"
            return f"{allowed}; {self.form}" if self.form else allowed
        if self.kind == "number":
            return f"must be a number from {self.low:g} to {self.high:g}"
        return self.form or "must not be empty"


class Table(NamedTuple):
    """A table as it was read.

    Attributes:
        rows: One row per row of the file that has any value, in fresh order. ``number`` columns
            are float64, columns with ``meanings`` hold those, all others are text with surrounding
            blanks removed; an empty cell is NaN.
        assumed: What was assumed to read it, a line each.
    """

    rows: pd.DataFrame
    assumed: tuple[str, ...]


def read_table(path: Path, columns: Mapping[str, TableColumn], *, header_rows: int = 1) -> Table:
    """Read a table and validate it.

    Args:
        path: A CSV or the first sheet of an ``.xlsx`` (:func:`~fundus_ml.sources.cells.read_cells`
            says which kinds).
        columns: Rule of each column by name, or by a pattern such as ``disease_*``; other columns
            are kept as text, unless they have neither a name nor a value.
        header_rows: Rows above the first row of values; a column's name is the lowest of its cells
            there that is filled, ``column_3`` where none is.

    Raises:
        InputError: The file cannot be read, lacks a column or has one twice, has no rows or one
            longer than the header, or holds a value outside its rule: file, column, row (as a
            spreadsheet counts it) and value in one line.
    """
    others = {name: rule.also for name, rule in columns.items()}
    cells, assumed = read_cells(
        path, header_rows=header_rows, count_names=partial(count_known, others=others)
    )
    table = _with_header(path, cells, header_rows)
    read_as = known_names(path, [str(name) for name in table], others)
    table = table.rename(columns=read_as)
    missing = [name for name, rule in columns.items() if rule.required and name not in table]
    if missing:
        raise ColumnsMissingError(path, missing, [str(name) for name in table], others)
    table = table.dropna(how="all")
    if table.empty:
        raise InputError(f"{path}: has no rows")
    present = {
        str(name): rule
        for name in table
        for pattern, rule in columns.items()
        if fnmatchcase(str(name), pattern)
    }
    said = [f"{was} as {name}" for was, name in read_as.items() if was != name]
    lines = [*assumed, *([f"{path.name}: columns read: {', '.join(said)}"] if said else [])]
    table = _without_missing_words(table, present)
    for name in (name for name, rule in present.items() if rule.kind == "number"):
        table[name], line = _with_points(table[name], f"{path.name}: column {name}")
        lines += line
    for name in (str(name) for name in table if name not in present):
        column, line = _with_points(table[name], f"{path.name}: column {name}")
        if line and _all_numbers(column):
            table[name] = column
            lines += line
    rows = _validated(path, table, present)
    for name, rule in present.items():
        if rule.kind == "id":
            rows[name], line = settle_ids(rows[name], f"{path}: column {name}")
            lines += line
        if rule.meanings is not None:
            rows[name] = _meant(rows[name], rule.meanings)
    return Table(rows.reset_index(drop=True), tuple(lines))


def _with_header(path: Path, cells: pd.DataFrame, header_rows: int) -> pd.DataFrame:
    if cells.empty:
        raise InputError(f"{path}: holds no table: it is empty")
    cells = cells.dropna(axis="columns", how="all")
    lowest = cells.iloc[:header_rows].ffill().iloc[-1]
    numbered = "column_" + cells.columns.astype("str").to_series(index=cells.columns)
    names = lowest.fillna(numbered).map(lambda name: " ".join(printable(name).split()))
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


def _with_points(column: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """``63,5`` becomes ``63.5``; ``1,234``, which may be a thousand, stays as it is."""
    text = column.astype("str")
    decimal = text.str.fullmatch(r"[+-]?\d+,\d+", na=False)
    decimal &= ~text.str.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", na=False)
    if not decimal.any():
        return column, []
    example = text[decimal].iloc[0]
    with_points = column.mask(decimal, text.str.replace(",", ".", regex=False))
    said = f"{where}: decimal commas, so that {example} is {example.replace(',', '.')}"
    return with_points, [said]


def _all_numbers(column: pd.Series) -> bool:
    """Whether every cell that says something says a number."""
    said = column.dropna()
    said = said[~said.astype("str").str.lower().isin(MISSING)]
    return bool(pd.to_numeric(said, errors="coerce").notna().all())


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
