"""What every source hands over: rows about eyes, and a way to load each photograph."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from fundus_ml.imaging.photographs import Photograph

OFFERED_COLUMNS = (
    "image_id",
    "source",
    "patient_id",
    "eye",
    "sex",
    "age",
    "camera",
    "healthy",
    "flags",
)
"""What a source says of every eye; ``flags`` are remarks such as ``placeholder age``, joined by
``"; "``, empty where there is none. Columns of a source's own, such as ``disease_*`` (0 or 1),
follow them into the manifest."""


Load = Callable[[dict[str, object], int], Photograph]
"""Row of a release's table, least pixels of the shorter side → its photograph."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """A release read into rows, before any photograph is opened.

    Attributes:
        name: The source, such as ``odir``.
        table: One row per eye offered, with :data:`OFFERED_COLUMNS` and what ``load`` needs.
        rejected: ``image_id``, ``reason``, ``detail`` of every row the source itself refuses.
        load: Turns one row of ``table`` into its photograph, whose shorter side may be decoded
            down to the given number of pixels but not below; picklable, raises
            :class:`~fundus_ml.errors.Refused` when the photograph cannot be read.
        assumed: What was assumed to read the tables and find the photographs, a line each; an
            example, which may name a person, stands last, after ``, such as ``.
        advice: Where missing files were looked for and what lies there instead; empty where most
            were found.
    """

    name: str
    table: pd.DataFrame
    rejected: pd.DataFrame
    load: Load
    assumed: tuple[str, ...] = ()
    advice: str = ""


def own_columns(table: pd.DataFrame) -> list[str]:
    """List the columns of a release's table that nothing here understands.

    Args:
        table: Table of :class:`Photographs`.
    """
    ours = {*OFFERED_COLUMNS, "path"}
    return [
        str(name)
        for name in table
        if name not in ours and not str(name).startswith(("disease_", "finding_"))
    ]
