"""The cells of a table as text, from the kinds of CSV that programs write, or from Excel."""

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

import pandas as pd

from fundus_ml.errors import InputError

EXCEL = (".xlsx", ".xlsm")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between two cells of a CSV row, in the order they are tried."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16, so it goes first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of an Excel file, newer and older than 2007."""

CountNames = Callable[[Sequence[str]], int]
"""Cells of a header → how many of them are names of columns that the table may have."""


class Cells(NamedTuple):
    """A table before anything is known of its columns.

    Attributes:
        cells: Text without surrounding blanks, None where empty; rows and columns are numbered
            from 1, as a spreadsheet numbers them.
        assumed: What was assumed to read them, a line each.
    """

    cells: pd.DataFrame
    assumed: tuple[str, ...]


def read_cells(path: Path, *, header_rows: int, count_names: CountNames) -> Cells:
    """Read every cell of a table.

    A CSV is UTF-8, whatever its byte-order mark says, or else Windows-1252. The separator is what a
    first line such as ``sep=;`` says, or the one under which the header holds the most names, a
    comma where several do.

    Args:
        path: CSV, or the first sheet of an ``.xlsx``.
        header_rows: Rows of the header.
        count_names: Tells a header from other words.

    Raises:
        InputError: The file is missing, cannot be read or decoded, or a row has cells beyond the
            header.
    """
    try:
        if path.suffix.lower() in EXCEL:
            return _excel_cells(path)
        return _csv_cells(path, path.read_bytes(), header_rows, count_names)
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _excel_cells(path: Path) -> Cells:
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            cells = pd.read_excel(
                book, header=None, dtype="str", keep_default_na=False, na_values=[""]
            )
    except (
        zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, ParseError,
        RuntimeError,  # an unknown compression, a file that says it is encrypted
    ) as error:  # fmt: skip
        said = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path}: not an Excel table: {said[0]}") from None
    several = f"{path.name}: sheet {sheets[0]!r} is read, the first of {len(sheets)}"
    return Cells(_numbered(cells), (several,) if len(sheets) > 1 else ())


def _csv_cells(path: Path, content: bytes, header_rows: int, count_names: CountNames) -> Cells:
    text, assumed = _decoded(path, content)
    said = re.match(r"sep=(.)\r?\n", text)
    if said:
        text, separator = text[said.end() :], said[1]
    else:
        separator = _separator(text, header_rows, count_names)
    if separator != ",":
        between = SEPARATORS.get(separator, repr(separator))
        assumed = (*assumed, f"{path.name}: {between} stand between its cells")
    try:
        rows = list(_reader(text, separator))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table: {error}") from None
    return Cells(_numbered(pd.DataFrame(_even(path, rows, header_rows))), assumed)


def _decoded(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    if content.startswith(_WORKBOOKS):
        raise InputError(f"{path}: is an Excel workbook, not a CSV; save it as .xlsx and name that")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None and b"\0" in content:
        raise InputError(f"{path}: not a CSV table: holds NUL bytes; save it as CSV UTF-8")
    try:
        text = content.decode("utf-8-sig" if encoding in {"utf-8", None} else str(encoding))
    except UnicodeDecodeError as error:
        if encoding is None and content.decode("utf-8", "ignore").isascii():
            return _as_windows(path, content)
        raise InputError(f"{path}: not a CSV table: {error}; save it as CSV UTF-8") from None
    if encoding in {"utf-8", None}:
        return text, ()
    return text, (f"{path.name}: read as {str(encoding).upper()}, as its byte-order mark says",)


def _as_windows(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a CSV table: neither UTF-8 nor Windows-1252 (byte "
            f"{content[error.start]:#04x} at {error.start}); save it as CSV UTF-8"
        ) from None
    word = re.search(r"\w*[^\x00-\x7f]\w*", text)
    assert word is not None
    return text, (f"{path.name}: not UTF-8, read as Windows-1252, such as {word[0]!r}",)


def _separator(text: str, header_rows: int, count_names: CountNames) -> str:
    def names(separator: str) -> int:
        reader = _reader(text, separator)
        try:
            return sum(count_names(row) for row, _ in zip(reader, range(header_rows), strict=False))
        except csv.Error:
            return 0

    return max(SEPARATORS, key=names)


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    # strict: else a quote that is never closed would swallow all rows below it.
    return csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )


def _even(path: Path, rows: list[list[str]], header_rows: int) -> list[list[str]]:
    """Rows of one length, that of the header; empty cells beyond it are cut off."""
    width = max(map(len, rows[:header_rows]), default=0)
    for number, row in enumerate(rows, 1):
        if any(cell.strip() for cell in row[width:]):
            beyond = next(cell for cell in row[width:] if cell.strip())
            raise InputError(
                f"{path}: not a CSV table: row {number} has {len(row)} cells, the header {width}: "
                f"{beyond!r}; a value that holds the separator must stand in quotes"
            )
    return [row[:width] + [""] * (width - len(row)) for row in rows]


def _numbered(cells: pd.DataFrame) -> pd.DataFrame:
    if cells.empty:
        return pd.DataFrame()
    texts: pd.DataFrame = cells.astype("str").apply(lambda column: column.str.strip())
    texts = texts.replace("", None)
    texts.index = pd.RangeIndex(1, len(texts) + 1)
    texts.columns = pd.RangeIndex(1, texts.shape[1] + 1)
    return texts
