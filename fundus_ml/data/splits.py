"""Train, validation and test, cut so that no person stands on both sides."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.ages import age_bands
from fundus_ml.data.manifest import SPLITS
from fundus_ml.data.options import check_fractions
from fundus_ml.errors import InputError, listed

FEWEST_PEOPLE = 3
"""From this many people on, a stratum gives at least one to every split asked for."""
SPLIT_BY = ("person", "file")
PERSON_IDS = ("patient_id", "person_group")
"""Columns that name a person; a ``person_group`` is the ``patient_id`` of one of its rows."""


def assign_splits(
    frame: pd.DataFrame,
    *,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    by: str = "person",
    findings: Sequence[str] = (),
) -> pd.Series:
    """Give every eye its split, whole people at a time.

    People of one source and sex are lined up by age band and, within it, by a hash of ``seed`` and
    ``person_group``. Each in turn goes to the split that then lacks most of its share of the eyes
    so far, so every stretch of the line, a band or the whole, is cut as asked to within an eye or
    two. Which band leads is a hash's choice as well: no age is always first. A stratum does not
    look at the others, so rows of another source appended below never move an eye already placed.
    A person with rows in several sources or of both sexes belongs to the stratum of their first
    row, at their youngest age there; apart from that the order of rows changes nothing.

    Args:
        frame: One row per eye with ``person_group``, ``source``, ``label`` and ``age`` (and
            ``image_id``, unique, for ``by="file"``).
        val_fraction: Share of the eyes of each stratum that goes to ``val``.
        test_fraction: Share that goes to ``test``; ``train`` gets the rest. A stratum of three
            people or more gives at least one to each split whose fraction is above 0.
        seed: Another seed is another cut.
        by: ``person``, or ``file``, which tears people apart and exists to show what leaks then.
        findings: Columns of ``frame`` that are 1 where an eye shows a finding. People who show one
            then stand together in the line, before their ages are looked at, by the rarest they
            show: each finding is cut as asked within every source and sex.

    Returns:
        ``train``, ``val`` or ``test`` per row, on the index of ``frame``.

    Raises:
        InputError: A fraction is negative, nothing is left for ``train``, or ``by`` is unknown.
    """
    check_fractions(val_fraction=val_fraction, test_fraction=test_fraction)
    if by not in SPLIT_BY:
        raise InputError(f"by={by}: allowed: {', '.join(SPLIT_BY)}")
    whole = frame["person_group" if by == "person" else "image_id"]
    people = _people(frame, whole, seed)
    people["finding"] = _rarest(frame, whole, findings).map(lambda name: _place(seed, name))
    fractions = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    placed: dict[object, str] = {}
    for _, stratum in people.groupby(["source", "label"]):
        line = stratum.sort_values(["finding", "band_place", "place"])
        chosen = _ensure_all(_deal(line, fractions), fractions)
        placed |= zip(line.index, np.array(SPLITS)[chosen].tolist(), strict=True)
    split = whole.map(placed).rename("split")
    if not split.eq("train").any():
        raise InputError(
            f"val_fraction={val_fraction} and test_fraction={test_fraction}: "
            f"leave no eye of {len(people)} people for train"
        )
    return split


def kept_splits(frame: pd.DataFrame, dealt: pd.Series, earlier: pd.DataFrame) -> pd.Series:
    """Let people keep the split they have in another dataset of the same photographs.

    A person is known there by any eye of theirs, or, where other eyes of theirs were kept there, by
    the ids: their own, or the one by which people of several ids are called.

    Args:
        frame: One row per eye with ``image_id``, ``patient_id`` and ``person_group``.
        dealt: Split of each, for people who have none there.
        earlier: The same columns of the other dataset, and its ``split``.

    Returns:
        Split of each, on the index of ``frame``.

    Raises:
        InputError: None of the eyes is there, or a person has eyes in two of its splits.
    """
    by_image = frame["image_id"].map(earlier.set_index("image_id")["split"])
    if by_image.isna().all():
        raise InputError("holds none of these eyes")
    ids = pd.concat([earlier.set_index(name)["split"] for name in PERSON_IDS])
    ids = ids[~ids.index.duplicated()]
    known = [by_image, *(frame[name].map(ids) for name in PERSON_IDS)]
    people = pd.concat([frame["person_group"]] * len(known), ignore_index=True)
    there = pd.concat(known, ignore_index=True)
    refuse_torn(there, people)
    kept = there.groupby(people).first()
    return frame["person_group"].map(kept).fillna(dealt).rename("split")


def refuse_torn(split: pd.Series, people: pd.Series) -> None:
    """Refuse splits that hold a person twice.

    Args:
        split: Split of each eye; NaN where it has none.
        people: ``person_group`` of each.

    Raises:
        InputError: A person has eyes in two of them.
    """
    counts = split.groupby(people).nunique()
    torn = counts[counts > 1]
    if len(torn):
        named = listed([str(person) for person in torn.index])
        raise InputError(f"{len(torn)} people have eyes in two of its splits: {named}")


def person_leakage(frame: pd.DataFrame, split: pd.Series) -> float:
    """Share of the held-out eyes whose person has an eye in ``train``.

    Args:
        frame: One row per eye with ``person_group``.
        split: ``train``, ``val`` or ``test`` of each, on the index of ``frame``.

    Raises:
        InputError: No eye is held out.
    """
    in_train = split.eq("train")
    if in_train.all():
        raise InputError("split: no eye is held out in val or test")
    known = frame.loc[in_train, "person_group"]
    return float(frame.loc[~in_train, "person_group"].isin(known).mean())


def _people(frame: pd.DataFrame, whole: pd.Series, seed: int) -> pd.DataFrame:
    """Stratum, eyes and place in line of everyone, by the rows of their first source."""
    first = frame.groupby(whole, sort=False)["source"].transform("first")
    own = frame[frame["source"] == first]
    groups = own.groupby(whole[own.index], sort=False)
    people = groups[["source", "label"]].first()
    people["eyes"] = groups.size()
    band = age_bands(groups["age"].min())
    stratum = people["source"].astype(str) + "/" + people["label"].astype(str)
    people["band_place"] = [_place(seed, name) for name in stratum + "/" + band]
    people["place"] = [_place(seed, str(person)) for person in people.index]
    return people


def _rarest(frame: pd.DataFrame, whole: pd.Series, findings: Sequence[str]) -> pd.Series:
    """Name the finding of everyone that the fewest people show; empty for who shows none."""
    shown = frame[list(findings)].eq(1).groupby(whole, sort=False).any()
    rarest = pd.Series("", index=shown.index)
    for name in shown.sum().sort_values(ascending=False, kind="stable").index:
        rarest = rarest.mask(shown[name], str(name))
    return rarest


def _place(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _deal(line: pd.DataFrame, fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each person to the split that lacks most; the hash decides between equals."""
    dealt, given = np.zeros(len(line), np.int64), np.zeros(len(SPLITS))
    total = 0
    for turn, (eyes, place) in enumerate(zip(line["eyes"], line["place"], strict=True)):
        total += eyes
        lacking = fractions * total - given
        equals = np.flatnonzero((lacking > lacking.max() - 1e-9) & (fractions > 0))
        dealt[turn] = equals[int(place, 16) % len(equals)]
        given[dealt[turn]] += eyes
    return dealt


def _ensure_all(dealt: NDArray[np.int64], fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where people suffice, let the split with most of them give one to each that got none."""
    if len(dealt) >= FEWEST_PEOPLE:
        for split in np.flatnonzero(fractions > 0):
            if split not in dealt:
                most = np.bincount(dealt).argmax()
                dealt[np.flatnonzero(dealt == most)[-1]] = split
    return dealt
