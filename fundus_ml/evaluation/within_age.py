"""What is left of a score among eyes of people of like age, which says much of many findings."""

from dataclasses import dataclass

import pandas as pd

from fundus_ml.data.ages import UNKNOWN, age_bands
from fundus_ml.errors import InputError
from fundus_ml.evaluation.scores import flat
from fundus_ml.evaluation.subgroups import joined
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.stratified import stratified_auroc

__all__ = ["WithinAge", "auroc_within_age"]


@dataclass(frozen=True, kw_only=True)
class WithinAge:
    """AUROC over pairs of eyes of one age band.

    Attributes:
        auroc: With its interval; None where it cannot be measured.
        ageless: Eyes without an age, which are left out.
        reason: Why it cannot be measured, or nothing.
    """

    auroc: Interval | None
    ageless: int
    reason: str = ""

    def metrics(self, *, split: str) -> dict[str, float]:
        """Name it as runs and versions keep it; nothing where it was not measured."""
        return {} if self.auroc is None else flat({f"{split}_clean_auroc_within_age": self.auroc})

    def __str__(self) -> str:
        """Say it in a line."""
        if self.auroc is None:
            return f"within age bands: not measured ({self.reason})"
        left_out = f"; {self.ageless} eyes without an age left out" if self.ageless else ""
        found = self.auroc
        return (
            f"within age bands: AUROC {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
            f"{left_out}"
        )


def auroc_within_age(
    predicted: pd.DataFrame, manifest: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> WithinAge:
    """Compare only eyes of one age band, where age says next to nothing.

    Subgroups need enough people of both classes in each band; this pools what little each has.

    Args:
        predicted: One row per eye: ``image_id person_group label logit``.
        manifest: Rows of these eyes, and maybe of others.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Raises:
        InputError: An eye of ``predicted`` is not in ``manifest``.
    """
    eyes = joined(predicted, manifest)
    bands = age_bands(eyes["age"])
    known = eyes[bands != UNKNOWN]
    ageless = len(eyes) - len(known)
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
        return WithinAge(auroc=None, ageless=ageless, reason=str(error))
    return WithinAge(auroc=found, ageless=ageless)
