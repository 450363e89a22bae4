"""One web page that holds a whole run: headline, tables, pictures, links. It asks for nothing."""

import math
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from fundus_ml.errors import InputError

TEMPLATES = Path(__file__).parent / "templates"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIGNIFICANT_DIGITS = 3
MISSING = "n/a"
FOLLOWED = ("", "http", "https", "file")
"""Schemes a reader may click; any other address is shown as text."""


def summary_page(
    *,
    title: str,
    headline: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, tuple[bytes, str]],
    links: Mapping[str, str],
) -> str:
    """Write one self-contained page: pictures inside, no request to anywhere, light and dark.

    Args:
        title: Of the page.
        headline: The few numbers a reader should leave with, by name.
        tables: By heading; the columns are shown, the index is not.
        figures: By heading, the PNG file's content and its caption, which is also its alt text.
        links: Address by name: a path relative to the page, ``http(s)`` or ``file``; any other
            address (``models:/…``) is shown, not linked.

    Returns:
        HTML; every value given is escaped.

    Raises:
        InputError: A figure is not a PNG, or has no caption.
    """
    for heading, (content, caption) in figures.items():
        if not content.startswith(PNG_SIGNATURE):
            raise InputError(f"figures: {heading!r} is not a PNG file's content")
        if not caption.strip():
            raise InputError(f"figures: {heading!r} has no caption")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("summary.html").render(
        title=title,
        headline=headline,
        tables={heading: _cells(table) for heading, table in tables.items()},
        figures={
            heading: (b64encode(content).decode("ascii"), caption)
            for heading, (content, caption) in figures.items()
        },
        links={
            name: (address, urlsplit(address).scheme in FOLLOWED) for name, address in links.items()
        },
    )


class _Table(NamedTuple):
    """Cells as text, each with whether its column holds numbers."""

    header: list[tuple[str, bool]]
    rows: list[list[tuple[str, bool]]]


def _cells(table: pd.DataFrame) -> _Table:
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    numeric = [_is_number(column) for column in columns]
    texts = [_texts(column) for column in columns]
    return _Table(
        header=[(str(name), number) for name, number in zip(table.columns, numeric, strict=True)],
        rows=[list(zip(row, numeric, strict=True)) for row in zip(*texts, strict=True)],
    )


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)


def _texts(column: pd.Series) -> list[str]:
    """One format down a column: fractions to the digits its typical value needs."""
    if is_bool_dtype(column.dtype):
        return ["yes" if value else "no" for value in column]
    if not is_float_dtype(column.dtype):
        return [MISSING if pd.isna(value) else str(value) for value in column]
    sizes = column.abs()
    typical = float(sizes[(sizes > 0) & (sizes < math.inf)].median())
    # A power of ten counts with what lies below it: shares of 1 keep the digits of those at 0.9.
    digits = SIGNIFICANT_DIGITS - math.ceil(math.log10(typical)) if typical > 0 else 0
    digits = max(0, digits)
    return [MISSING if pd.isna(value) else f"{value:.{digits}f}" for value in column]
