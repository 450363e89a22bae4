"""What a preprocessing would take and refuse, told from the table and the headers of the files."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from fundus_ml.data.contrasts import FEWEST_PEOPLE, Answers, answers, offered
from fundus_ml.data.manifest import EYES, SEXES
from fundus_ml.data.options import SEX
from fundus_ml.data.photographs import Photographs, own_columns
from fundus_ml.errors import InputError, Refused, listed
from fundus_ml.imaging.decoding import stored_size
from fundus_ml.imaging.photographs import read_file
from fundus_ml.parallel import in_order
from fundus_ml.sources.files import named_by_id, rejected_rows
from fundus_ml.sources.listing import as_path

_NUMBER = "NUMBER"
"""Stands for the cut in what a table can be asked."""


class _Header(NamedTuple):
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is known of a release before any photograph is decoded.

    Attributes:
        kept: Offered columns of every eye that would be read, with ``width`` and ``height`` as
            stored, and ``sha256`` of its file.
        refused: ``image_id``, ``reason``, ``detail`` of every other row of the table.
        words: All of it in lines.
    """

    kept: pd.DataFrame
    refused: pd.DataFrame
    words: tuple[str, ...]


def check_photographs(
    photographs: Photographs,
    *,
    size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Judge each row of a release by the table and the header of its photograph; write nothing.

    Every file is read and hashed, none is decoded: what only the pixels tell (no field of view,
    low quality, damage inside, one person under two ids) is not seen.

    Args:
        photographs: The release.
        size: Side of the squares they would become.
        on_progress: Told how many photographs are done, and how many there are.
    """
    rows = [
        {str(name): value for name, value in row.items()}
        for row in photographs.table.to_dict("records")
    ]
    seen: list[_Header | Refused] = []
    for header in in_order(_read_header, rows):
        seen.append(header)
        if on_progress is not None:
            on_progress(len(seen), len(rows))
    refused = [
        (str(row["image_id"]), header.reason, header.detail)
        for row, header in zip(rows, seen, strict=True)
        if isinstance(header, Refused)
    ]
    good = [isinstance(header, _Header) for header in seen]
    headers = pd.DataFrame(
        [header for header in seen if isinstance(header, _Header)], columns=list(_Header._fields)
    )
    kept = photographs.table.loc[good].reset_index(drop=True).drop(columns="path").join(headers)
    rejected = pd.concat([photographs.rejected, rejected_rows(refused)], ignore_index=True)
    return Checked(kept=kept, refused=rejected, words=tuple(_in_words(kept, rejected, size)))


def _read_header(row: dict[str, object]) -> _Header | Refused:
    try:
        content = read_file(as_path(str(row["path"])))
        return _Header(*stored_size(content), hashlib.sha256(content).hexdigest())
    except Refused as refused:
        return named_by_id(refused, row)


def _in_words(kept: pd.DataFrame, refused: pd.DataFrame, size: int) -> Iterator[str]:
    yield f"{len(kept) + len(refused)} rows: {len(kept)} would be read, {len(refused)} refused"
    for reason, count in Counter(refused["reason"]).most_common():
        first = refused[refused["reason"] == reason].iloc[0]
        yield f"refused: {count} {reason}, such as {first['image_id']} ({first['detail']})"
    if kept.empty:
        return
    yield _sizes(kept, size)
    yield from _equal_files(kept)
    eyes = kept["eye"].value_counts()
    ages = kept["age"].dropna()
    spread = f" ({ages.min():g} to {ages.max():g}, median {ages.median():g})" if len(ages) else ""
    each = kept.groupby("patient_id").size()
    yield f"people: {len(each)}, with {each.min()} to {each.max()} photographs each"
    yield f"eyes: {', '.join(f'{eyes.get(eye, 0)} {eye}' for eye in EYES)}"
    yield f"age: {len(ages)} of {len(kept)} known{spread}"
    if own := own_columns(kept.drop(columns=list(_Header._fields))):
        yield f"columns kept as they are written: {', '.join(own)}"
    yield from _contrasts(kept)


def _sizes(kept: pd.DataFrame, size: int) -> str:
    stored = Counter(zip(kept["width"], kept["height"], strict=True))
    (width, height), most = stored.most_common(1)[0]
    shorter = kept[["width", "height"]].min(axis=1)
    small = int((shorter < size).sum())
    return (
        f"pixels: {most} of {len(kept)} are {width} x {height}, {len(stored)} sizes in all; "
        f"shorter sides {shorter.min()} to {shorter.max()}"
        + (f"; {small} are below size={size}" if small else "")
    )


def _equal_files(kept: pd.DataFrame) -> Iterator[str]:
    """Files that hold the same bytes, by what differs between their rows."""
    equal = kept[kept["sha256"].duplicated(keep=False)]
    if equal.empty:
        return
    groups = equal.groupby("sha256", sort=False)
    names = list(next(iter(groups))[1]["image_id"])
    people = int(groups["patient_id"].nunique().gt(1).sum())
    sexes = int(groups["sex"].nunique().gt(1).sum())
    yield (
        f"equal files: {len(equal)} photographs, {groups.ngroups} different, such as "
        f"{listed(names)}; {people} under several patients, {sexes} under both sexes"
    )


def _contrasts(kept: pd.DataFrame) -> Iterator[str]:
    """What each question would be answered by, as trainings open the dataset."""
    asked = kept.drop(columns=["width", "height", "sha256"]).assign(
        label=kept["sex"].map(SEXES.index), person_group=kept["patient_id"]
    )
    for contrast in offered(asked):
        if _NUMBER in contrast:
            continue
        try:
            found = answers(asked, contrast)
        except InputError as error:
            yield str(error)
        else:
            yield f"contrast={contrast}: {_counted(asked, found)}"


def _counted(asked: pd.DataFrame, found: Answers) -> str:
    eyes = found.label.value_counts()
    people = asked["person_group"].groupby(found.label).nunique()
    classes = [
        f"{eyes.get(label, 0)} {name} of {people.get(label, 0)} people"
        for label, name in enumerate(found.contrast.classes)
    ]
    left_out = [f"{count} {reason}" for reason, count in found.left_out.items()]
    out = f"; left out: {', '.join(left_out)}" if left_out else ""
    few = min(people.get(label, 0) for label in range(2)) < FEWEST_PEOPLE
    rule = f"; too few: {FEWEST_PEOPLE} people of each are needed"
    return ", ".join(classes) + out + (rule if few and found.contrast.name != SEX else "")
