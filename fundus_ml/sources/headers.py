"""Names of a table's columns as people write them, told by explicit lists of other names."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from fundus_ml.errors import InputError

OtherNames = Mapping[str, Sequence[str]]
"""Other names of each column, by its own, which may be a pattern such as ``disease_*``."""
_START = 3
"""Letters that a shortened word keeps: ``pat`` for ``patient``."""


def known_names(path: Path, written: Sequence[str], others: OtherNames) -> dict[str, str]:
    """Say which column each name of a header stands for.

    A column's own name goes first, written with other capitals, spaces or signs between its words
    too (``Patient ID`` is ``patient_id``). Where it does not stand there, one of its other names
    may. Names that stand for no column are left out.

    Args:
        path: The table, for the error.
        written: Names in the header, each once.
        others: The columns there may be.

    Returns:
        The column by written name.

    Raises:
        InputError: Two names stand for one column.
    """
    plain = [name for name in others if not _is_pattern(name)]
    found = {name: _alike(written, [name]) for name in plain}
    own = {name for names in found.values() for name in names}
    free = [name for name in written if name not in own]
    for name in plain:
        found[name] = found[name] or _alike(free, others[name])
    for pattern in filter(_is_pattern, others):
        for name in free:
            spelled = name if fnmatchcase(name, pattern) else _with_underscores(name)
            if fnmatchcase(spelled, pattern):
                found.setdefault(spelled, []).append(name)
    for name, names in found.items():
        if len(names) > 1:
            raise InputError(
                f"{path}: columns {names[0]!r} and {names[1]!r} can both be {name}; keep one, or "
                f"call the one that is meant {name}"
            )
    return {names[0]: name for name, names in found.items() if names}


def count_known(written: Iterable[str], others: OtherNames) -> int:
    """Count the names of a header that stand for a column."""
    names = {_letters(name) for name, also in others.items() for name in (name, *also)}
    patterns = [name for name in others if _is_pattern(name)]
    return sum(
        _letters(name) in names
        or any(fnmatchcase(_with_underscores(name), pattern) for pattern in patterns)
        for name in written
        if name.strip()
    )


class ColumnsMissingError(InputError):
    """A table lacks columns; the line says what it has, and what of it may be meant.

    Args:
        path: The table.
        missing: Columns it lacks.
        written: Columns it has.
        others: The columns there may be, with their other names.
        choice: What may stand in their place.
    """

    def __init__(
        self,
        path: Path,
        missing: Sequence[str],
        written: Sequence[str],
        others: OtherNames,
        *,
        choice: str = "",
    ) -> None:
        free = [name for name in written if name not in others]
        near = {name: _near(free, name, others[name]) for name in missing}
        said = [f"; nearest to {name}: {', '.join(found)}" for name, found in near.items() if found]
        advice = "; rename the one that is meant" if said else ""
        super().__init__(
            f"{path}: columns missing: {', '.join(missing)}{choice}; "
            f"it has {', '.join(written)}{''.join(said)}{advice}"
        )


def _near(written: Iterable[str], own: str, others: Sequence[str]) -> list[str]:
    """Names that share a word with a column, or the start of one, or have nearly all letters."""
    single = (_with_underscores(name) for name in others)
    words = {*_with_underscores(own).split("_"), *(name for name in single if "_" not in name)}
    letters = [_letters(name) for name in (own, *others)]

    def is_near(name: str) -> bool:
        return any(
            part == word or (len(part) >= _START and word.startswith(part))
            for part in _with_underscores(name).split("_")
            for word in words
        ) or bool(get_close_matches(_letters(name), letters, 1, cutoff=0.75))

    return [name for name in written if is_near(name)]


def _alike(written: Iterable[str], names: Iterable[str]) -> list[str]:
    wanted = {_letters(name) for name in names}
    return [name for name in written if _letters(name) in wanted]


def _is_pattern(name: str) -> bool:
    return "*" in name


def _with_underscores(name: str) -> str:
    """``Disease AMD`` becomes ``disease_amd``."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\W_]+", "_", plain).strip("_")


def _letters(name: str) -> str:
    return _with_underscores(name).replace("_", "")
