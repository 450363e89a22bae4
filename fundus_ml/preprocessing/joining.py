"""Ids that are one person: found by their eyes, joined, judged where they contradict, shown."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fundus_ml.data.people import SEX_DISAGREES, contradicting_people, join_people
from fundus_ml.data.shards import SHARD_EYES, read_shard
from fundus_ml.figures.same_eyes import same_eye_sheet
from fundus_ml.imaging.duplicates import COLUMNS, same_eye_pairs
from fundus_ml.preprocessing.reading import read_keypoints

SAME_PERSON = "same_person.csv"
"""Pairs of photographs found to show one eye, by ``image_id``, with the evidence."""
SAME_EYES = "same_eyes.png"
"""The least certain of them, to be judged by eye; absent where there is none."""
SHOWN = 12


class Joined(NamedTuple):
    """Eyes with the person behind each.

    Attributes:
        eyes: Those that stay, with ``person_group``; the index is that of the rows given.
        refused: ``image_id``, reason, detail of the others.
        pairs: Photographs that show one eye: ``first`` and ``second`` by ``image_id``, evidence.
    """

    eyes: pd.DataFrame
    refused: list[tuple[str, str, str]]
    pairs: pd.DataFrame


def join_same_people(
    eyes: pd.DataFrame,
    folder: Path,
    *,
    search: bool,
    contradicting: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> Joined:
    """Find eyes under several ids and let the ids be one person.

    Args:
        eyes: One row per eye read, row for row that of the shards in ``folder``, with
            ``image_id``, ``patient_id``, ``sex`` and ``flags``.
        folder: Shards of ``keypoints``, when ``search`` is on.
        search: Without it a person is a ``patient_id``.
        contradicting: What happens to the eyes of people found under both sexes: ``reject``, or
            ``keep`` with a flag.
        on_progress: Called with (proposed pairs compared, in all).
    """
    pairs = (
        same_eye_pairs(read_keypoints(folder), on_progress=on_progress)
        if search
        else pd.DataFrame(columns=list(COLUMNS), dtype="int64")
    )
    names = eyes["image_id"].to_numpy()
    named = pairs.assign(first=names[pairs["first"]], second=names[pairs["second"]])
    eyes = eyes.assign(person_group=join_people(eyes["patient_id"], pairs))
    wrong = contradicting_people(eyes)
    if contradicting == "keep":
        flags = eyes["flags"].where(~wrong, eyes["flags"] + "; " + SEX_DISAGREES)
        return Joined(eyes.assign(flags=flags.str.removeprefix("; ")), [], named)
    refused = [
        (str(row["image_id"]), SEX_DISAGREES, f"found to be the person of {row['person_group']}")
        for row in eyes[wrong].to_dict("records")
    ]
    return Joined(eyes[~wrong], refused, named)


def write_evidence(pairs: pd.DataFrame, eyes: pd.DataFrame, *, work: Path, out: Path) -> None:
    """Write :data:`SAME_PERSON` and, where there are pairs, :data:`SAME_EYES`.

    Args:
        pairs: Pairs as in :class:`Joined`.
        eyes: All eyes read, as given to :func:`join_same_people`.
        work: Folder of their ``pixels``.
        out: Folder the two files go to.
    """
    pairs.to_csv(out / SAME_PERSON, index=False)
    if pairs.empty:
        return
    shown = pairs.sort_values("score", kind="stable").head(SHOWN)
    ends = shown[["first", "second"]].to_numpy().ravel()
    known = eyes.reset_index(drop=True)
    places = pd.Series(known.index, index=known["image_id"])[ends].to_numpy()
    views = np.stack(
        [read_shard(work, "pixels", place // SHARD_EYES)[place % SHARD_EYES] for place in places]
    )
    said = [f"{eye} {sex}" for eye, sex in zip(ends, known["sex"][places], strict=True)]
    captions = [
        f"{first} and {second}, {inliers} keypoints agree"
        for first, second, inliers in zip(said[::2], said[1::2], shown["inliers"], strict=True)
    ]
    beside = np.arange(len(ends)).reshape(-1, 2)
    sheet = same_eye_sheet(views, shown.assign(first=beside[:, 0], second=beside[:, 1]), captions)
    sheet.savefig(out / SAME_EYES, dpi=120)
