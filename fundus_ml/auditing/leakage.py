"""Do people stand on both sides of the split, and what would tearing them apart do?"""

from dataclasses import dataclass

import pandas as pd

from fundus_ml.data.linkage import Linkage
from fundus_ml.data.people import SEX_DISAGREES
from fundus_ml.data.splits import assign_splits, person_leakage

SEX_DISAGREES_ACROSS = f"{SEX_DISAGREES} across folders"
"""Why eyes of a composite are left out whose person stands under both sexes in its folders."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the folders of a composite share, and what was done about it.

    Attributes:
        files: Photographs whose file lies in several folders.
        ids: Patient ids that stand in several folders.
        alike: Pairs of photographs that show one eye, found by its vessels.
        people: People with eyes in several folders.
        moved: Eyes moved to the held-out split that their person has in another folder.
        left_out: Eyes of people who stand under both sexes, by ``image_id``.
        unsearched: Folders, in words, whose eyes were compared by file and id only.
    """

    files: int
    ids: int
    alike: int
    people: int
    moved: int
    left_out: tuple[str, ...]
    unsearched: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """People across splits and ids.

    Attributes:
        people_across: People with eyes in more than one split.
        held_out: Eyes in ``val`` and ``test``.
        held_out_known: Share of them whose person has an eye in ``train``.
        by_file: What that share would be, were files split without regard to people, in the same
            fractions; None where no split can be made.
        several_ids: People found under more than one patient id.
        several_ids_eyes: Their eyes.
        sex_disagrees: Photographs rejected because their person stands under both sexes.
        folders: What the folders of a composite share; None where there is one folder.
    """

    people_across: int
    held_out: int
    held_out_known: float
    by_file: float | None
    several_ids: int
    several_ids_eyes: int
    sex_disagrees: int
    folders: Shared | None = None


def measure_leakage(
    frame: pd.DataFrame, rejected: pd.DataFrame, *, seed: int, linkage: Linkage | None = None
) -> Leakage:
    """Count from the table itself, whatever its split was meant to be.

    Args:
        frame: Manifest rows.
        rejected: ``image_id``, ``reason``, ``detail`` of the photographs not taken.
        seed: Seed of the split by file.
        linkage: Record linkage of a composite.
    """
    ids = frame.groupby("person_group")["patient_id"].transform("nunique")
    splits = frame.groupby("person_group")["split"].nunique()
    held_out = frame["split"] != "train"
    return Leakage(
        people_across=int((splits > 1).sum()),
        held_out=int(held_out.sum()),
        held_out_known=person_leakage(frame, frame["split"]) if held_out.any() else 0.0,
        by_file=_by_file(frame, seed),
        several_ids=int(frame.loc[ids > 1, "person_group"].nunique()),
        several_ids_eyes=int((ids > 1).sum()),
        sex_disagrees=int(rejected["reason"].eq(SEX_DISAGREES).sum()),
        folders=None if linkage is None else _shared(linkage),
    )


def _shared(linkage: Linkage) -> Shared:
    return Shared(
        files=linkage.files,
        ids=linkage.ids,
        alike=len(linkage.pairs),
        people=linkage.people,
        moved=len(linkage.moved),
        left_out=linkage.left_out,
        unsearched=linkage.unsearched,
    )


def _by_file(frame: pd.DataFrame, seed: int) -> float | None:
    share = frame["split"].value_counts(normalize=True)
    if not 0 < share.get("train", 0) < 1:
        return None
    torn = assign_splits(
        frame,
        val_fraction=float(share.get("val", 0)),
        test_fraction=float(share.get("test", 0)),
        seed=seed,
        by="file",
    )
    return person_leakage(frame, torn) if (torn != "train").any() else None
