"""Which rows of a release are taken: the judgement that is the same for every source."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from fundus_ml.data.manifest import MANIFEST_COLUMNS
from fundus_ml.data.people import SEX_DISAGREES
from fundus_ml.data.photographs import OFFERED_COLUMNS, Photographs
from fundus_ml.errors import Refused
from fundus_ml.imaging.photographs import UNREADABLE, shown
from fundus_ml.sources.files import (
    AMBIGUOUS,
    FILE_MISSING,
    LEAVES_RELEASE,
    find_files,
    load_file,
    rejected_rows,
)
from fundus_ml.sources.listing import as_text
from fundus_ml.sources.missing import where_they_lie

NO_SEX = "no sex"
SAME_NAME = "same name twice"


def offer(
    rows: pd.DataFrame,
    *,
    name: str,
    root: Path,
    named: Sequence[Sequence[str]],
    unwanted: Mapping[str, pd.Series] | None = None,
    assumed: Sequence[str] = (),
) -> Photographs:
    """Take the rows that can be used, and refuse each other one for the first reason that holds.

    The reasons, in this order: ``path leaves the release``; ``no sex``; ``sex disagrees``, every
    row of a person whose rows say both; ``same name twice``, the second and later rows of one
    ``image_id``; ``file missing``; ``ambiguous file name``; ``unreadable``; and then the source's
    own.

    Args:
        rows: :data:`OFFERED_COLUMNS`, ``sex`` NaN where unknown, and the source's own columns.
        name: The source.
        root: Folder of the release.
        named: For each row the paths below ``root`` at which its photograph may lie.
        unwanted: The source's own reasons; of each the detail, NaN where it does not hold.
        assumed: What was assumed to read the tables.

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
        AMBIGUOUS: _details(found, AMBIGUOUS, rows.index),
        UNREADABLE: _details(found, UNREADABLE, rows.index),
    } | dict(unwanted or {})
    refused = pd.concat(
        [detail.dropna().to_frame("detail").assign(reason=why) for why, detail in details.items()]
    )
    refused = refused[~refused.index.duplicated()].sort_index()
    judged = zip(
        rows.loc[refused.index, "image_id"], refused["reason"], refused["detail"], strict=True
    )
    paths = [as_text(file) if isinstance(file, Path) else "" for file in found]
    taken = rows.assign(path=paths).drop(index=refused.index)
    missing = [first[place] for place in refused.index[refused["reason"] == FILE_MISSING]]
    return Photographs(
        name=name,
        table=taken.reset_index(drop=True),
        rejected=rejected_rows(list(judged)),
        load=load_file,
        assumed=(*assumed, *_other_spellings(root, named, found)),
        advice=where_they_lie(root, missing[0]) if 2 * len(missing) > len(rows) else "",
    )


def _other_spellings(
    root: Path, named: Sequence[Sequence[str]], found: Sequence[Path | Refused]
) -> list[str]:
    """Say how many photographs lie under other names than the table gives them."""
    pairs = [
        (shown(file.relative_to(root)), names)
        for file, names in zip(found, named, strict=True)
        if isinstance(file, Path)
    ]
    other = [
        (lies, names[0])
        for lies, names in pairs
        if not any(lies == str(PurePosixPath(name)) for name in names)
    ]
    if not other:
        return []
    lies, name = other[0]
    counted = f"{len(other)} of {len(named)} photographs lie under another spelling"
    return [f"{counted}, such as {lies} for {name}"]


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
