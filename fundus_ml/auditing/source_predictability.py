"""Which properties of the photographs tell the sources of a composite apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fundus_ml.auditing.baselines import FEWEST_PEOPLE
from fundus_ml.auditing.columns import WHOLE, Shortcut
from fundus_ml.auditing.permutation import grouped_folds, out_of_fold
from fundus_ml.statistics.clustered import clustered_auroc

PREDICTABLE_FROM = 0.75
"""AUROC the lower end of whose interval says that a source can be read off a photograph."""
CROP = ("field-of-view geometry", "border and padding")
"""Shortcuts that the cut of the photograph leaves behind."""


@dataclass(frozen=True, kw_only=True)
class SourcePredictability:
    """How well one measured shortcut tells one source from all others.

    Attributes:
        shortcut: Its name.
        source: The source told apart.
        auroc: Cross-validated; with ``low`` and ``high``, its 95 % interval over people.
        low: Lower end.
        high: Upper end.
    """

    shortcut: str
    source: str
    auroc: float
    low: float
    high: float

    @property
    def predictable(self) -> bool:
        """Whether the source can be read off the photograph by this shortcut alone."""
        return self.low >= PREDICTABLE_FROM


def predict_sources(
    shortcuts: Sequence[Shortcut], frame: pd.DataFrame, *, seed: int
) -> list[SourcePredictability]:
    """Predict each source from each measured shortcut, as sex is predicted from it.

    Args:
        shortcuts: From :func:`fundus_ml.auditing.shortcuts.find_shortcuts`.
        frame: Manifest rows, in the order of the designs.
        seed: Seed of folds and intervals.

    Returns:
        One per measured shortcut and source; of two sources the first stands for both. Empty where
        there is one source only, or every pair has a side of fewer than ``FEWEST_PEOPLE`` people.
    """
    sources = sorted(frame["source"].unique())
    if len(sources) == 2:  # noqa: PLR2004 (telling one from the other is telling both)
        sources = sources[:1]
    elif len(sources) == 1:
        return []
    groups = frame["person_group"].to_numpy()
    told = []
    for source in sources:
        labels = frame["source"].eq(source).to_numpy()
        if min(len(set(groups[labels])), len(set(groups[~labels]))) < FEWEST_PEOPLE:
            continue
        folds = grouped_folds(groups, frame["source"].to_numpy(), seed=seed)
        targets = labels[:, None].astype(np.float64)
        for shortcut in shortcuts:
            if shortcut.known or shortcut.missing or shortcut.name in WHOLE:
                continue
            scores = out_of_fold(shortcut.design, targets, folds)[:, 0]
            found = clustered_auroc(labels, scores, groups, seed=seed)
            told.append(
                SourcePredictability(
                    shortcut=shortcut.name,
                    source=source,
                    auroc=found.value,
                    low=found.low,
                    high=found.high,
                )
            )
    return told
