"""Which rows of a release are taken: the judgement that is the same for every source."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fundus_ml.errors import Refused
from fundus_ml.manifest import MANIFEST_COLUMNS
from fundus_ml.people import SEX_DISAGREES
from fundus_ml.sources.files import (
    FILE_MISSING,
    LEAVES_RELEASE,
    UNREADABLE,
    find_files,
    load_file,
    rejected_rows,
)
from fundus_ml.sources.photographs import OFFERED_COLUMNS, Photographs

NO_SEX = "no sex"
SAME_NAME = "same name twice"
NOT_HEALTHY = "not healthy"


def offer(
    rows: pd.DataFrame,
    *,
    name: str,
    root: Path,
    named: Sequence[Sequence[str]],
    unwanted: Mapping[str, pd.Series] | None = None,
) -> Photographs:
    """Take the rows that can be used, and refuse each other one for the first reason that holds.

    The reasons, in this order: ``path leaves the release``; ``no sex``; ``sex disagrees``, every
    row of a person whose rows say both; ``same name twice``, the second and later rows of one
    ``image_id``; ``file missing``; ``unreadable``; and then the source's own.

    Args:
        rows: :data:`OFFERED_COLUMNS`, ``sex`` NaN where unknown, and the source's own columns.
        name: The source.
        root: Folder of the release.
        named: For each row the paths below ``root`` at which its photograph may lie.
        unwanted: The source's own reasons; of each the detail, NaN where it does not hold.

    Returns:
        The rows taken, with their ``path``, and those refused: together all of ``rows``.
    """
    own = set(rows.columns) - set(OFFERED_COLUMNS)
    assert not own & {*MANIFEST_COLUMNS, "path"}, own
    found = find_files(root, named)
    first = pd.Series([names[0] for names in named], index=rows.index, dtype="str")
    details = {
        LEAVES_RELEASE: _details(found, LEAVES_RELEASE, rows.index),
        NO_SEX: first.where(rows["sex"].isna()),
        SEX_DISAGREES: _sexes_of_the_person(rows),
        SAME_NAME: first.where(rows["image_id"].duplicated()),
        FILE_MISSING: _details(found, FILE_MISSING, rows.index),
        UNREADABLE: _details(found, UNREADABLE, rows.index),
    } | dict(unwanted or {})
    refused = pd.concat(
        [detail.dropna().to_frame("detail").assign(reason=why) for why, detail in details.items()]
    )
    refused = refused[~refused.index.duplicated()].sort_index()
    judged = zip(
        rows.loc[refused.index, "image_id"], refused["reason"], refused["detail"], strict=True
    )
    taken = rows.assign(path=[str(file) for file in found]).drop(index=refused.index)
    return Photographs(
        name=name,
        table=taken.reset_index(drop=True),
        rejected=rejected_rows(list(judged)),
        load=load_file,
    )


def _details(found: list[Path | Refused], reason: str, index: pd.Index) -> pd.Series:
    said = [
        file.detail if isinstance(file, Refused) and file.reason == reason else None
        for file in found
    ]
    return pd.Series(said, index=index, dtype="str")


def _sexes_of_the_person(rows: pd.DataFrame) -> pd.Series:
    """``odir/7: female, male`` on every row of a person whose rows disagree, NaN elsewhere."""
    known = rows.dropna(subset=["sex"])
    sexes = known.groupby("patient_id")["sex"].agg(lambda said: ", ".join(sorted(set(said))))
    said = rows["patient_id"].map(sexes).astype("str")
    return (rows["patient_id"] + ": " + said).where(said.str.contains(", ", na=False))
