"""Web pages whole in themselves: what a run made, what an audit found. They ask for nothing."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from fundus_ml.errors import InputError

TEMPLATES = Path(__file__).parent / "templates"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIGNIFICANT_DIGITS = 3
MISSING = "n/a"
LONGEST_ON_ONE_LINE = 60
"""Characters from which on a column's cells are broken into lines."""
FOLLOWED = ("", "http", "https", "file")
"""Schemes a reader may click; any other address is shown as text."""


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads somewhere.

    Attributes:
        words: What the cell says.
        address: As the links of :func:`summary_page`.
    """

    words: str
    address: str

    def __str__(self) -> str:
        """Say it without the address."""
        return self.words


def summary_page(
    *,
    title: str,
    verdict: str = "",
    picture: tuple[bytes, str] | None = None,
    headline: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, tuple[bytes, str]],
    links: Mapping[str, str],
) -> str:
    """Write one self-contained page: pictures inside, no request to anywhere, light and dark.

    Args:
        title: Title of the page.
        verdict: A sentence that answers the title; none is shown where empty.
        picture: What shows it, right below: a PNG file's content and its caption.
        headline: The few numbers a reader should leave with, by name.
        tables: By heading; the columns are shown, the index is not. A cell may be a :class:`Link`.
        figures: By heading, the PNG file's content and its caption, which is also its alt text.
        links: Address by name: a path relative to the page, ``http(s)`` or ``file``; any other
            address (``models:/…``) is shown, not linked.

    Returns:
        HTML; every value given is escaped.

    Raises:
        InputError: A figure is not a PNG, or has no caption.
    """
    return rendered(
        "summary.html",
        title=title,
        verdict=verdict,
        picture=None if picture is None else (_embedded(title, *picture), picture[1]),
        headline=headline,
        tables={heading: _cells(table) for heading, table in tables.items()},
        figures={
            heading: (_embedded(heading, content, caption), caption)
            for heading, (content, caption) in figures.items()
        },
        links={name: (address, _is_followed(address)) for name, address in links.items()},
    )


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading of a page with what stands under it, in this order.

    Attributes:
        heading: Heading of the section.
        words: A paragraph, perhaps empty.
        figure: A PNG file's content, perhaps None.
        caption: Caption of the figure, also its alt text.
        table: Perhaps None.
    """

    heading: str
    words: str = ""
    figure: bytes | None = None
    caption: str = ""
    table: pd.DataFrame | None = None


def audit_page(
    *,
    title: str,
    verdicts: Sequence[str],
    shortcut_baseline: str,
    headline: Mapping[str, str],
    sections: Sequence[Section],
) -> str:
    """Write the page of an audit: verdict and shortcut baseline in words, then their grounds.

    Args:
        title: Title of the page.
        verdicts: Sentences.
        shortcut_baseline: The score below which nothing is shown, as a sentence.
        headline: The few numbers a reader should leave with, by name.
        sections: In order.

    Returns:
        HTML, self-contained; every value given is escaped.

    Raises:
        InputError: A figure is not a PNG, or has no caption.
    """
    return rendered(
        "audit.html",
        title=title,
        verdicts=verdicts,
        shortcut_baseline=shortcut_baseline,
        headline=headline,
        sections=[
            {
                "heading": section.heading,
                "words": section.words,
                "caption": section.caption,
                "figure": None
                if section.figure is None
                else _embedded(section.heading, section.figure, section.caption),
                "table": None if section.table is None else _cells(section.table),
            }
            for section in sections
        ],
    )


def rendered(template: str, **values: object) -> str:
    """Fill a template of this package; one value that lacks is an error.

    Every value is escaped, except in Markdown, whose readers do that.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, disabled_extensions=("md",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _embedded(heading: str, content: bytes, caption: str) -> str:
    if not content.startswith(PNG_SIGNATURE):
        raise InputError(f"figures: {heading!r} is not a PNG file's content")
    if not caption.strip():
        raise InputError(f"figures: {heading!r} has no caption")
    return b64encode(content).decode("ascii")


def _is_followed(address: str) -> bool:
    return urlsplit(address).scheme in FOLLOWED


class _Table(NamedTuple):
    """Cells as text, each with the class of its column: ``number``, ``words`` or none.

    Those of ``rows`` have an address too, empty where a cell leads nowhere.
    """

    header: list[tuple[str, str]]
    rows: list[list[tuple[str, str, str]]]


def _cells(table: pd.DataFrame) -> _Table:
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    texts = [_texts(column) for column in columns]
    kinds = [_kind(column, text) for column, text in zip(columns, texts, strict=True)]
    return _Table(
        header=[(str(name), kind) for name, kind in zip(table.columns, kinds, strict=True)],
        rows=[
            list(zip(row, kinds, leading, strict=True))
            for row, leading in zip(
                zip(*texts, strict=True),
                zip(*map(_addresses, columns), strict=True),
                strict=True,
            )
        ],
    )


def _addresses(column: pd.Series) -> list[str]:
    return [
        cell.address if isinstance(cell, Link) and _is_followed(cell.address) else ""
        for cell in column
    ]


def _kind(column: pd.Series, texts: list[str]) -> str:
    if _is_number(column):
        return "number"
    return "words" if max(map(len, texts), default=0) > LONGEST_ON_ONE_LINE else ""


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
