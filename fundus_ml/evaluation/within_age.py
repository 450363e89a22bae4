"""What is left of a score among eyes of people of like age, which says much of many findings."""

from dataclasses import dataclass

import pandas as pd

from fundus_ml.data.ages import UNKNOWN, age_bands
from fundus_ml.errors import InputError
from fundus_ml.evaluation.scores import CLEAN
from fundus_ml.evaluation.subgroups import joined
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.stratified import stratified_auroc

__all__ = ["WITHIN_AGE", "WithinAge", "auroc_within_age"]

WITHIN_AGE = "auroc_within_age"
"""Its name among the measures."""


@dataclass(frozen=True, kw_only=True)
class WithinAge:
    """AUROC over pairs of eyes of one age band.

    Attributes:
        auroc: With its interval; None where it cannot be measured.
        eyes: Eyes with an age.
        ageless: Eyes without one, which are left out.
        reason: Why it cannot be measured, or nothing.
    """

    auroc: Interval | None
    eyes: int
    ageless: int
    reason: str = ""

    def rows(self) -> pd.DataFrame:
        """Lay it out as :func:`fundus_ml.evaluation.scores.long_scores`; empty if not measured."""
        if self.auroc is None:
            return pd.DataFrame()
        row = {"attack": CLEAN, "constraint": CLEAN, "eps": 0.0, "per": "eye"}
        row |= {"measure": WITHIN_AGE} | vars(self.auroc) | {"count": self.eyes}
        return pd.DataFrame([row])

    def __str__(self) -> str:
        """Say it in a line."""
        if self.auroc is None:
            return f"within age bands: not measured ({self.reason})"
        left_out = f"; {self.ageless} eyes without an age left out" if self.ageless else ""
        return f"within age bands: AUROC {self.auroc:.3f}{left_out}"


def auroc_within_age(
    predicted: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    of_age: bool = False,
    resamples: int = 2000,
    seed: int = 0,
) -> WithinAge:
    """Compare only eyes of one age band, where age says next to nothing.

    Subgroups need enough people of both classes in each band; this pools what little each has.

    Args:
        predicted: One row per eye: ``image_id person_group label logit``.
        manifest: Rows of these eyes, and maybe of others.
        of_age: Whether age is what the labels answer: then nothing is measured, for a band that
            the cut divides would compare people of nearly one age.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Raises:
        InputError: An eye of ``predicted`` is not in ``manifest``.
    """
    eyes = joined(predicted, manifest)
    bands = age_bands(eyes["age"])
    known = eyes[bands != UNKNOWN]
    ageless = len(eyes) - len(known)
    if of_age:
        reason = "age is the question"
        return WithinAge(auroc=None, eyes=len(known), ageless=ageless, reason=reason)
    try:
        found = stratified_auroc(
            known["label"],
            known["logit"],
            bands[bands != UNKNOWN],
            known["person_group"],
            resamples=resamples,
            seed=seed,
        )
    except InputError as error:
        return WithinAge(auroc=None, eyes=len(known), ageless=ageless, reason=str(error))
    return WithinAge(auroc=found, eyes=len(known), ageless=ageless)
