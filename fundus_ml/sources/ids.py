"""Ids of patients: one spelling for one person, and no two that only look different."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pandas as pd

from fundus_ml.errors import InputError, listed

MISSING = ("nan", "na", "n/a", "none", "null")
"""Words that programs write for an empty cell, in any case."""
_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAMAGED = {
    re.compile(r"\d(?:[.,]\d+)?E\+\d{2,3}"): "shortened: its last digits are lost",
    re.compile(r"\d{4}-\d\d-\d\d 00:00:00"): "changed into a date",
    re.compile(rf"\d{{1,2}}-(?:{_MONTH})|(?:{_MONTH})-\d{{2}}"): "changed into a date",
}
"""What spreadsheets make of long numbers and of ids such as 3-5."""


def _without_blanks(text: str) -> str:
    return "".join(
        sign for sign in text if not sign.isspace() and unicodedata.category(sign) != "Cf"
    )


_FORMS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "Unicode form": lambda text: unicodedata.normalize("NFKC", text),
        "letter case": str.casefold,
        "spaces": _without_blanks,
        "a decimal .0": lambda text: re.sub(r"\.0+$", "", text),
        "leading zeros": lambda text: re.sub(r"(?<![\d.])0+(?=\d)", "", text),
    }
)
"""What two ids of one person may differ in, and how to take it away."""


def settle_ids(ids: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """Write each id in one way, and refuse ids that differ in nothing that can be relied on.

    Whole numbers that a program wrote as decimals lose their point (``7.0`` is ``7``) where no id
    of the column has another decimal, and text is brought to Unicode's composed form.

    Args:
        ids: Text, indexed by the rows of the table; NaN stays.
        where: File and column, for what is said.

    Returns:
        The ids, and a line for each assumption.

    Raises:
        InputError: An id holds control characters or was damaged by a spreadsheet, several rows
            have a word for an empty cell as theirs, or two ids differ only by leading zeros, letter
            case, spaces or Unicode form: both with their rows.
    """
    known = ids.dropna()
    _refuse_damaged(known, where)
    _refuse_empty(known, where)
    composed = known.map(lambda text: unicodedata.normalize("NFC", text))
    plain = _whole_numbers(composed)
    _refuse_alike(plain, where)
    assumed = []
    for before, after, rule in (
        (known, composed, "in another Unicode form are read as one"),
        (composed, plain, "written as decimals are read as whole numbers"),
    ):
        changed = before != after
        if changed.any():
            row, was = next(iter(before[changed].items()))
            example = f"{was} in row {row} is {after[changed].iloc[0]}"
            assumed.append(f"{where}: {changed.sum()} ids {rule}, such as {example}")
    settled: pd.Series = ids.mask(ids.notna(), plain.reindex(ids.index))
    return settled, assumed


def _whole_numbers(ids: pd.Series) -> pd.Series:
    whole = ids.str.fullmatch(r"\d+\.0+")
    if (ids.str.fullmatch(r"\d+\.\d+") & ~whole).any():
        return ids
    return ids.mask(whole, ids.str.partition(".")[0])


def _refuse_damaged(ids: pd.Series, where: str) -> None:
    for row, text in ids.drop_duplicates().items():
        if any(unicodedata.category(sign) == "Cc" for sign in text):
            raise InputError(f"{where}, row {row}: {text!r}; must not hold line breaks or the like")
        for pattern, harm in _DAMAGED.items():
            if pattern.fullmatch(text):
                raise InputError(
                    f"{where}, row {row}: {text!r}; looks like an id that a spreadsheet has "
                    f"{harm}; format the column as text and export it again"
                )


def _refuse_empty(ids: pd.Series, where: str) -> None:
    """Refuse photographs of unknown people that would pass for one person's."""
    rows = ids[ids.str.lower().isin(MISSING)]
    if len(rows) > 1:
        raise InputError(
            f"{where}, row {rows.index[0]}: {rows.iloc[0]!r}, as in {len(rows) - 1} more rows; it "
            "stands for an empty cell: write whose photograph it is, or leave the rows out"
        )


def _refuse_alike(ids: pd.Series, where: str) -> None:
    spelled = ids.drop_duplicates()
    likeness = spelled.map(lambda text: _reduced(text, _FORMS))
    alike = spelled[likeness.duplicated(keep=False)]
    groups = alike.groupby(likeness[alike.index], sort=False)
    pairs = [pair for _, group in groups if (pair := _confusable(list(group)))]
    if not pairs:
        return
    one, other = pairs[0]
    more = f"; {len(pairs) - 1} more ids likewise" if len(pairs) > 1 else ""
    raise InputError(
        f"{where}: {one!r} ({_rows(ids, one)}) and {other!r} ({_rows(ids, other)}) differ only by "
        f"{' and '.join(_differences(one, other))}{more}; write one spelling for one person, and "
        "ids that differ in more for two"
    )


def _confusable(alike: list[str]) -> tuple[str, str] | None:
    """Two of the ids that may be one person.

    Zeros at other places of ids of one length (``1a01``, ``01a1``) tell people apart.
    """
    kept = {form: change for form, change in _FORMS.items() if form != "leading zeros"}
    seen: dict[str, str] = {}
    for text in alike:
        reduced = _reduced(text, kept)
        first = next(iter(seen), reduced)
        if reduced in seen or len(reduced) != len(first):
            return seen.get(reduced, seen[first]), text
        seen[reduced] = text
    return None


def _differences(one: str, other: str) -> list[str]:
    """Forms without which both would still differ."""
    found = []
    for name in _FORMS:
        rest = {form: change for form, change in _FORMS.items() if form != name}
        if _reduced(one, rest) != _reduced(other, rest):
            found.append(name)
    return found or list(_FORMS)


def _reduced(text: str, forms: Mapping[str, Callable[[str], str]]) -> str:
    for change in forms.values():
        text = change(text)
    return text


def _rows(ids: pd.Series, text: str) -> str:
    numbers = [str(row) for row in ids.index[ids == text]]
    return f"row{'s' * (len(numbers) > 1)} {listed(numbers)}"
