"""Everything that one modulation made and found, before it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.modulation.evaluator import ConditionTables, Evaluator, Measurements
from fundus_ml.modulation.null_distribution import null_words
from fundus_ml.modulation.paired_differences import gradient_words
from fundus_ml.pages.gallery import OtherVersion
from tracking.registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class ModulationRecord:
    """Everything one modulation made.

    Attributes:
        evaluator: The eyes, their pixels and targets, the options, the independent evaluator.
        modulated: ``(E, N, H, W, 3)`` uint8.
        pictures: E·N paths of the saved pictures, budget by budget.
        seed: Seed of the choice of eyes.
        bootstrap: Resamples of people.
        dataset_digest: Digest of the dataset they come from.
        found: What was found in the pictures of each condition.
        compared: Tables over all conditions.
        effect: Rows of ``effect_by_eps`` of the modulation.
        transfers: Rows of ``transfer_rows``.
        matrix: Rows of ``transfer_matrix``.
        success_over_networks: Rows of ``over_networks``: success, where several networks push.
        enrichment_over_networks: The same of the enrichment.
        independent: Version of the independent evaluator, where there is one.
        other: What the gallery shows beside: another version's pictures of the same eyes.
    """

    evaluator: Evaluator
    modulated: NDArray[np.uint8]
    pictures: list[Path]
    seed: int
    bootstrap: int
    dataset_digest: str
    found: Mapping[str, Measurements]
    compared: ConditionTables
    effect: pd.DataFrame
    transfers: pd.DataFrame
    matrix: pd.DataFrame
    success_over_networks: pd.DataFrame
    enrichment_over_networks: pd.DataFrame
    independent: ModelVersion | None
    other: OtherVersion | None = None

    @property
    def conclusion(self) -> str:
        """What the strongest budget reached, where against null models, and against a gradient."""
        strongest = self.effect.iloc[-1]
        unchanged = int(strongest["unchanged"])
        reached = (
            f"{len(self.evaluator.eyes)} eyes; at eps {strongest['eps']:g} "
            f"{strongest['success']:.0%} are seen as the target"
            + (f", {unchanged} did not change" if unchanged else "")
        )
        said = (null_words(self.compared.null), gradient_words(self.compared.differences))
        return "; ".join(filter(None, (reached, *said)))
