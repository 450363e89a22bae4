"""Record linkage across the folders of a composite: who stands in several, and where they go.

Two eyes are one person's where their files are equal byte for byte, where their ids are equal, or
where their vessels lie alike (:mod:`fundus_ml.imaging.duplicates`). Whoever is joined counts as one
person, all of whose eyes stand in the most held-out split that any of them had.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.integrity import check_shards
from fundus_ml.data.kept_links import PAIR_COLUMNS, keep_links, kept_links
from fundus_ml.data.linkage import Linkage
from fundus_ml.data.manifest import SPLITS
from fundus_ml.data.members import Member
from fundus_ml.data.people import contradicting_people, join_people
from fundus_ml.data.record import KEYPOINTS
from fundus_ml.data.shards import read_shard
from fundus_ml.errors import InputError
from fundus_ml.imaging.keypoints import FEATURE_SHAPE

VERSION = "1"
"""Changes when the same folders would be linked otherwise."""
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Settled:
    """A composite whose people are settled.

    Attributes:
        frame: Manifest rows of all folders that stay, with a fresh index.
        folder: ``(n,)`` the folder of each.
        linkage: What was found.
    """

    frame: pd.DataFrame
    folder: NDArray[np.intp]
    linkage: Linkage


def settle(
    members: Sequence[Member],
    *,
    links: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Settled:
    """Join the people of several folders and give each one split.

    Both copies of a photograph that lies in two folders stay, as eyes of one person. Eyes of people
    who are joined across folders and stand under both sexes are left out.

    Args:
        members: The folders, two or more.
        links: Folder where pairs of alike eyes are kept, so that the next opening need not search
            for them; None searches each time.
        on_progress: Called with (proposed pairs compared, in all) while they are searched for.

    Raises:
        InputError: An ``image_id`` stands in two folders.
    """
    frame = pd.concat([member.frame for member in members], ignore_index=True)
    folder = np.repeat(np.arange(len(members)), [len(member.frame) for member in members])
    _refuse_twice(frame["image_id"], [member.folder for member in members], folder)
    equal = np.concatenate([_equal(frame["sha256"]), _equal(frame["patient_id"])])
    known = join_people(frame["person_group"], _pairs(equal))
    pairs, unkept = _alike(members, frame, known, links, on_progress)
    ids = pd.Series(frame.index, index=frame["image_id"])
    alike = np.stack([ids[pairs["first"]], ids[pairs["second"]]], axis=1)
    person = join_people(frame["person_group"], _pairs(np.concatenate([equal, alike])))
    joined = _holds_several(person, frame["person_group"]) | _holds_several(person, folder)
    after = _settled_splits(frame.assign(person_group=person), joined)
    changed = frame[["image_id", "shard", "row"]].assign(
        folder=folder, before=frame["split"], after=after
    )
    stays = after.ne("").to_numpy()
    settled = frame.assign(person_group=person, split=after)[stays].reset_index(drop=True)
    linkage = Linkage(
        digest=_digest(members, settled),
        files=_in_several(frame["sha256"], folder),
        ids=_in_several(frame["patient_id"], folder),
        pairs=pairs,
        people=_in_several(person, folder),
        changed=changed[changed["before"] != changed["after"]].reset_index(drop=True),
        unsearched=tuple(str(member.folder) for member in members if not member.described),
        unkept=unkept,
    )
    return Settled(settled, folder[stays], linkage)


def alike_eyes(
    eyes: Sequence[Member],
    others: Sequence[Member],
    *,
    links: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, str]:
    """Find the photographs of one dataset that show an eye of another one.

    Args:
        eyes: The folders of one dataset, each with the rows of its manifest to compare.
        others: Those of the other; no ``image_id`` stands in both. A folder of either that keeps
            no keypoints is left out.
        links: As in :func:`settle`.
        on_progress: As in :func:`settle`.

    Returns:
        ``first`` by ``image_id`` among ``eyes``, ``second`` among ``others``, ``inliers``,
        ``score``; and why the pairs could not be kept, or empty.
    """
    sides = [[member for member in side if member.described] for side in (eyes, others)]
    if not all(sides):
        return pd.DataFrame(columns=list(PAIR_COLUMNS)), ""
    members = [member for side in sides for member in side]
    names = pd.concat([member.frame["image_id"] for member in members])
    versions = ["\n".join(sorted(map(_version, side))) for side in sides]
    key = _fingerprint(["eyes in another dataset", *versions, *names])
    pairs = None if links is None else kept_links(links, key, names)
    if pairs is not None:
        return pairs, ""
    groups = np.repeat([0, 1], [len(side) for side in sides])
    pairs = _search(members, groups.tolist(), on_progress)
    return pairs, "" if links is None else keep_links(links, key, pairs)


def _refuse_twice(image_ids: pd.Series, folders: Sequence[Path], folder: NDArray[np.intp]) -> None:
    twice = image_ids.duplicated()
    if twice.any():
        eye = image_ids[twice].iloc[0]
        first, second = (folders[place] for place in folder[image_ids.eq(eye)][:2])
        raise InputError(
            f"image_id={eye}: stands in {first} and in {second}, must be unique; name one of the "
            "two, or preprocess one again under another name"
        )


def _settled_splits(eyes: pd.DataFrame, joined: pd.Series) -> pd.Series:
    """The most held-out split of each joined person; empty where the sexes disagree."""
    rank = eyes["split"].map(SPLITS.index)
    highest = rank.groupby(eyes["person_group"]).transform("max").map(dict(enumerate(SPLITS)))
    splits = eyes["split"].where(~joined, highest)
    return splits.where(~(joined & contradicting_people(eyes)), "")


def _alike(
    members: Sequence[Member],
    frame: pd.DataFrame,
    known: pd.Series,
    links: Path | None,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[pd.DataFrame, str]:
    """Pairs of alike eyes in different folders by ``image_id``; why they could not be kept."""
    # In an order of their own, so that the order in which they are named changes nothing.
    described = sorted((m for m in members if m.described), key=lambda m: m.record["digest"])
    if len(described) < 2:  # noqa: PLR2004 (a pair)
        return pd.DataFrame(columns=list(PAIR_COLUMNS)), ""
    # Of all folders: eyes that one without keypoints joins are not compared.
    key = _fingerprint(["pairs", *sorted(map(_version, members))])
    pairs = None if links is None else kept_links(links, key, frame["image_id"])
    if pairs is not None:
        return pairs, ""
    people = pd.Series(known.to_numpy(), index=frame["image_id"])
    pairs = _search(described, range(len(described)), on_progress, people=people)
    return pairs, "" if links is None else keep_links(links, key, pairs)


def _search(
    members: Sequence[Member],
    groups: Sequence[int],
    on_progress: Callable[[int, int], None] | None,
    *,
    people: pd.Series | None = None,
) -> pd.DataFrame:
    """Pairs of alike eyes in members of different ``groups``, of different ``people``."""
    from fundus_ml.imaging.duplicates import same_eye_pairs  # noqa: PLC0415 (loads scikit-learn)

    names = np.concatenate([member.frame["image_id"] for member in members])
    found = same_eye_pairs(
        np.concatenate([_keypoints(member) for member in members]),
        folders=np.repeat(np.asarray(groups), [len(member.frame) for member in members]),
        people=None if people is None else pd.factorize(people[names])[0],
        on_progress=on_progress,
    )
    return found[list(PAIR_COLUMNS)].assign(
        first=names[found["first"]], second=names[found["second"]]
    )


def _keypoints(member: Member) -> NDArray[np.uint8]:
    """Keypoints of every eye of a folder, in the order of its manifest, checked to be its own."""
    check_shards(member.folder, member.record, member.frame, KEYPOINTS)
    features = np.empty((len(member.frame), *FEATURE_SHAPE), np.uint8)
    shards, rows = (member.frame[name].to_numpy() for name in ("shard", "row"))
    for shard in np.unique(shards):
        there = shards == shard
        features[there] = read_shard(member.folder, KEYPOINTS, int(shard))[rows[there]]
    return features


def _equal(values: pd.Series) -> Positions:
    """``(m, 2)`` positions that chain all equal values together."""
    order = np.argsort(values.to_numpy(object), kind="stable")
    ordered = values.to_numpy(object)[order]
    same = np.flatnonzero(ordered[:-1] == ordered[1:])
    return np.stack([order[same], order[same + 1]], axis=1)


def _pairs(positions: Positions) -> pd.DataFrame:
    return pd.DataFrame(positions.astype(np.int64), columns=["first", "second"])


def _holds_several(whole: pd.Series, parts: pd.Series | NDArray[np.intp]) -> pd.Series:
    """Mark the rows of every ``whole`` that holds more than one of ``parts``."""
    return pd.Series(parts, index=whole.index).groupby(whole).transform("nunique") > 1


def _in_several(values: pd.Series, folder: NDArray[np.intp]) -> int:
    """Count the values that stand in more than one folder."""
    places = pd.DataFrame({"value": values.to_numpy(), "folder": folder}).drop_duplicates()
    return int((places["value"].value_counts() > 1).sum())


def _version(member: Member) -> str:
    """Content of a folder, its keypoints included, which its digest leaves out."""
    files = member.record.get("files", {})
    hashes = [files[name]["sha256"] for name in sorted(files) if name.startswith(KEYPOINTS)]
    return " ".join([member.record["digest"], *hashes])


def _digest(members: Sequence[Member], settled: pd.DataFrame) -> str:
    people = settled[["image_id", "person_group", "split"]].to_csv(index=False, lineterminator="\n")
    return _fingerprint([*(member.record["digest"] for member in members), people])


def _fingerprint(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([f"linkage {VERSION}", *parts]).encode()).hexdigest()
