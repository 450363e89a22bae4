"""Who of one dataset is among the eyes that a network learned from."""

from dataclasses import dataclass

import pandas as pd

from fundus_ml.errors import listed

NAMED = 5
"""People that a line names before it counts the rest."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What a dataset shares with the eyes of a training.

    Attributes:
        people: ``person_group`` in the dataset of everyone who is in both, in its order.
        files: Eyes of the dataset whose file, byte for byte, is a file of the training.
        ids: People of the dataset with an ``image_id``, a ``patient_id`` or a ``person_group`` of
            the training.
        alike: Eyes of the dataset that show an eye of the training in another photograph.
    """

    people: tuple[str, ...]
    files: int
    ids: int
    alike: int

    @property
    def count(self) -> str:
        """How many people."""
        return f"{len(self.people)} {'person' if len(self.people) == 1 else 'people'}"

    @property
    def words(self) -> str:
        """The first people, and by what they were recognised."""
        found = {
            "equal files": self.files,
            "people with equal ids": self.ids,
            "alike photographs": self.alike,
        }
        by = ", ".join(f"{what}: {count}" for what, count in found.items() if count)
        return f"{listed(self.people, shown=NAMED)}; {by}"


def find_overlap(
    eyes: pd.DataFrame, learned: pd.DataFrame, alike: pd.Series | None = None
) -> Overlap:
    """Find the people of a dataset who are among the eyes of a training.

    Args:
        eyes: Manifest rows of the dataset.
        learned: Eyes of the training, as :func:`fundus_ml.data.training_eyes.training_eyes` keeps
            them.
        alike: ``image_id`` of the eyes of the dataset that record linkage found in the training.
    """
    known_ids = pd.concat([learned["patient_id"], learned["person_group"]])
    file = eyes["sha256"].isin(learned["sha256"])
    same_id = (
        eyes["image_id"].isin(learned["image_id"])
        | eyes["patient_id"].isin(known_ids)
        | eyes["person_group"].isin(known_ids)
    )
    photograph = eyes["image_id"].isin([] if alike is None else alike)
    person = eyes["person_group"]
    return Overlap(
        people=tuple(person[file | same_id | photograph].unique()),
        files=int(file.sum()),
        ids=int(person[same_id].nunique()),
        alike=int(photograph.sum()),
    )
