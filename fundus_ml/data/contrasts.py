"""The two-valued question that a network answers, and the eyes that can answer it."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from fundus_ml.data.manifest import EYES, MANIFEST_COLUMNS, SEXES
from fundus_ml.data.options import SEX
from fundus_ml.errors import InputError

FINDING = "finding_"
"""How the columns begin that say what the photograph of this very eye shows: 1, 0, or NaN where the
release does not say or only suspects it."""
REGION = "region_"
"""How the columns begin that say where the parts of this eye lie."""
HEALTHY = "healthy"
FEWEST_PEOPLE = 30
"""People in the smaller class below which a contrast is refused: nothing would be measured."""
_EMPTY = ("", "na", "n/a", "nan", "null")
"""How a cell says that it is empty, in small letters; "none" may be an answer."""
_NO_WORD, _LONGEST_SLUG = re.compile(r"[^A-Za-z0-9]+"), 80
_CUT = re.compile(r"(?P<column>[^<>]+)(?P<sign>[<>])(?P<cut>-?\d+(?:\.\d+)?)")
_CLASSES: Mapping[str, tuple[str, str]] = MappingProxyType({"eye": (EYES[0], EYES[1])})
"""Columns of every manifest that can be asked, and what their eyes must be to answer."""


@dataclass(frozen=True)
class Contrast:
    """A question with two answers.

    Attributes:
        name: ``sex``, a finding such as ``glaucoma``, ``eye``, ``age>60``, or a column.
        classes: What label 0 and label 1 are called, such as ``("healthy", "glaucoma")``.
    """

    name: str
    classes: tuple[str, str]

    @property
    def of_eyes(self) -> bool:
        """Whether both eyes of a person may answer differently; of sex that is a contradiction."""
        return self.name != SEX

    @property
    def of_age(self) -> bool:
        """Whether it cuts ages, so that age cannot be held equal between its classes."""
        return self.cut_column == "age"

    @property
    def cut_column(self) -> str:
        """Column whose numbers it cuts, such as ``age`` of ``age>60``; empty for others."""
        cut = _CUT.fullmatch(self.name)
        return cut["column"] if cut else ""

    @property
    def people(self) -> tuple[str, str]:
        """What the people of either class are called."""
        return ("women", "men") if self.name == SEX else self.classes

    @property
    def slug(self) -> str:
        """The name as part of a registered model's name: ASCII letters, digits and hyphens."""
        words = self.name.replace(">", "-over-").replace("<", "-under-")
        plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
        slug = _NO_WORD.sub("-", plain)[:_LONGEST_SLUG].strip("-")
        return slug or hashlib.sha256(self.name.encode()).hexdigest()[:8]


SEX_CONTRAST = Contrast(SEX, SEXES)


class Answers(NamedTuple):
    """What a table of eyes says to a question.

    Attributes:
        contrast: The question.
        label: 0 or 1 per eye, NaN where an eye says nothing.
        left_out: How many eyes say nothing, by reason.
    """

    contrast: Contrast
    label: pd.Series
    left_out: Mapping[str, int]


def answers(frame: pd.DataFrame, contrast: str) -> Answers:
    """Ask every eye of a table.

    Args:
        frame: Manifest rows.
        contrast: ``sex``; a finding, against healthy eyes that do not show it; ``eye``, left
            against right; a number with a cut, such as ``age>60``; or a column of two values.

    Raises:
        InputError: The table cannot be asked that, or all its eyes answer alike; the line lists
            what it can be asked.
    """
    if contrast == SEX:
        return Answers(SEX_CONTRAST, frame["label"].astype(float), {})
    if f"{FINDING}{contrast}" in frame:
        found = _against_healthy(frame, contrast)
    elif cut := _CUT.fullmatch(contrast):
        found = _above_or_below(frame, contrast, **cut.groupdict())
    else:
        found = _two_values(frame, contrast)
    if found.label.nunique() < 2:  # noqa: PLR2004 (two classes)
        only = found.contrast.classes[int(found.label.max())] if found.label.notna().any() else ""
        raise InputError(
            f"contrast={contrast}: "
            + (f"every eye is {only}" if only else "no eye says anything")
            + "; two classes are needed"
        )
    return found


def check_people(frame: pd.DataFrame, found: Answers) -> None:
    """Refuse a contrast that too few people answer one way.

    Args:
        frame: Manifest rows that were asked.
        found: Their answers.

    Raises:
        InputError: A class has fewer than :data:`FEWEST_PEOPLE` people.
    """
    people = frame["person_group"].groupby(found.label).nunique()
    for label, name in enumerate(found.contrast.people):
        count = int(people.get(label, 0))
        if count < FEWEST_PEOPLE:
            raise InputError(
                f"contrast={found.contrast.name}: {count} people are {name}; "
                f"{FEWEST_PEOPLE} are needed"
            )


def finding_columns(frame: pd.DataFrame) -> list[str]:
    """List the columns that say what an eye shows."""
    return [str(name) for name in frame if _is_finding(name)]


def offered(frame: pd.DataFrame) -> list[str]:
    """List what a table can be asked, the numbers without their cuts."""
    findings = [name.removeprefix(FINDING) for name in finding_columns(frame)]
    own = [
        str(name)
        for name in frame
        if name not in MANIFEST_COLUMNS and not str(name).startswith((FINDING, REGION))
    ]
    two = [name for name in own if _as_text(frame[name]).nunique() == len(SEXES)]
    return [SEX, *findings, "eye", "age>NUMBER", *two]


def _is_finding(name: object) -> bool:
    return str(name).startswith(FINDING)


def _against_healthy(frame: pd.DataFrame, name: str) -> Answers:
    shows, healthy = frame[f"{FINDING}{name}"], frame["healthy"]
    label = pd.Series(np.nan, index=frame.index).mask(healthy & shows.eq(0), 0.0)
    label = label.mask(shows.eq(1), 1.0)
    out = label.isna()
    return Answers(
        Contrast(name, (HEALTHY, name)),
        label,
        _counted(
            {
                f"{name} not said or only suspected": out & shows.isna(),
                f"neither {HEALTHY} nor {name}": out & shows.notna(),
            }
        ),
    )


def _above_or_below(
    frame: pd.DataFrame, contrast: str, *, column: str, sign: str, cut: str
) -> Answers:
    if column not in frame:
        raise _unknown(frame, contrast)
    values = pd.to_numeric(frame[column], errors="coerce")
    if values.isna().all():
        raise InputError(f"contrast={contrast}: {column} holds no numbers")
    beyond = values > float(cut) if sign == ">" else values < float(cut)
    return Answers(
        Contrast(contrast, (f"not {contrast}", contrast)),
        beyond.astype(float).where(values.notna()),
        _counted({f"{column} unknown": values.isna()}),
    )


def _two_values(frame: pd.DataFrame, contrast: str) -> Answers:
    usable = contrast in _CLASSES or contrast in set(frame) - set(MANIFEST_COLUMNS)
    if not usable or _is_finding(contrast):
        raise _unknown(frame, contrast)
    values = _as_text(frame[contrast])
    classes = _CLASSES.get(contrast, tuple(sorted(values.dropna().unique())))
    if contrast not in _CLASSES and len(classes) != 2:  # noqa: PLR2004 (two classes)
        shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")  # noqa: PLR2004
        raise InputError(
            f"contrast={contrast}: holds {len(classes)} values ({shown}); two are needed"
        )
    label = values.map({value: float(place) for place, value in enumerate(classes)})
    return Answers(
        Contrast(contrast, (classes[0], classes[1])),
        label.astype(float),
        _counted({f"{contrast} unknown": label.isna()}),
    )


def _as_text(values: pd.Series) -> pd.Series:
    """Values as text; an empty cell is unknown, and so is what other programs write for one."""
    text = values.map(str, na_action="ignore").str.strip()
    return text.mask(text.str.lower().isin(_EMPTY))


def _counted(masks: Mapping[str, pd.Series]) -> dict[str, int]:
    return {reason: int(mask.sum()) for reason, mask in masks.items() if mask.any()}


def _unknown(frame: pd.DataFrame, contrast: str) -> InputError:
    can = offered(frame)
    near = get_close_matches(contrast, can, 1, cutoff=0.6)
    return InputError(
        f"contrast={contrast}: not in this dataset"
        + (f"; near it: {near[0]}" if near else "")
        + f"; offered: {', '.join(can)}"
    )
