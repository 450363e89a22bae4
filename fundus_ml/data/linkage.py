"""What record linkage found across the folders of a composite, and what was done about it."""

from dataclasses import dataclass

import pandas as pd

from fundus_ml.errors import listed

NAMED = 5
"""Eyes that a line names before it counts the rest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Linkage:
    """What was found across the folders of a composite, and what was done about it.

    Attributes:
        digest: 64 hexadecimal digits over the folders, and over every person and split settled.
        files: Photographs whose file lies in several folders.
        ids: Patient ids that stand in several folders.
        pairs: ``first``, ``second`` by ``image_id``, ``inliers``, ``score``: photographs of
            different folders found to show one eye, besides those of people joined already.
        people: People with eyes in several folders.
        changed: Eyes that do not stand where their folder has them: ``image_id``, ``folder``,
            ``shard``, ``row``, ``before`` and ``after``, the split, empty where the eye is left
            out because its person stands under both sexes.
        unsearched: Folders that keep no keypoints, so that only files and ids were compared.
        unkept: Why the pairs could not be kept for the next opening, or empty.
    """

    digest: str
    files: int
    ids: int
    pairs: pd.DataFrame
    people: int
    changed: pd.DataFrame
    unsearched: tuple[str, ...] = ()
    unkept: str = ""

    @property
    def moved(self) -> tuple[str, ...]:
        """Eyes that stand in a more held-out split than their folder has them in."""
        return tuple(self.changed.loc[self.changed["after"] != "", "image_id"])

    @property
    def left_out(self) -> tuple[str, ...]:
        """Eyes of people who stand under both sexes in different folders."""
        return tuple(self.changed.loc[self.changed["after"] == "", "image_id"])

    @property
    def left_train(self) -> pd.DataFrame:
        """Rows of ``changed`` that were training eyes."""
        return self.changed[self.changed["before"] == "train"]

    @property
    def moved_from_train(self) -> frozenset[int]:
        """Folders, by place, that have eyes in train which are held out here."""
        moved = self.left_train[self.left_train["after"] != ""]
        return frozenset(moved["folder"].tolist())

    @property
    def notes(self) -> list[str]:
        """Lines that say what could not be done."""
        lacking = [
            f"{folder}: keeps no keypoints, so its eyes were compared with those of the other "
            "folders by file and id only; preprocess it again, with same_person=true"
            for folder in self.unsearched
        ]
        return [*lacking, self.unkept] if self.unkept else lacking

    @property
    def words(self) -> str:
        """What was found as one line."""
        found = "none"
        if self.people:
            found = (
                f"{self.people} ({self.files} equal files, {self.ids} equal ids, "
                f"{len(self.pairs)} pairs of alike eyes), each one person in one split"
            )
        said = [f"people in several folders: {found}"]
        if self.moved:
            said.append(f"moved to the held-out split of their person: {len(self.moved)} eyes")
        if self.left_out:
            said.append(
                f"left out, because their people stand under both sexes: {len(self.left_out)} eyes "
                f"({listed(self.left_out, shown=NAMED)})"
            )
        return "; ".join(said)
