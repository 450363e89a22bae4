"""What a network adds to the shortcuts of its dataset, as a run records it."""

import numpy as np
import pandas as pd

from experiments.running.console import progress
from fundus_ml.auditing.network_gain import (
    NetworkGain,
    network_gain,
    shortcut_scores,
    too_few_people,
)
from fundus_ml.auditing.shortcuts import find_shortcuts
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.evaluation.scores import CLEAN
from tracking.runs import Run

AUROC_GAIN = "auroc_gain"
"""Measure: AUROC per person of shortcuts and network less that of the shortcuts."""
NETWORK_GAIN = "network_gain.json"
"""Artifact: the gain on so many people, or why it was not measured."""


def gain_over_shortcuts(
    eyes: pd.DataFrame, dataset: FundusDataset, *, resamples: int, seed: int
) -> NetworkGain:
    """Measure what clean logits add to the shortcuts, which learn from everyone but the person.

    Args:
        eyes: One row per scored eye: ``image_id person_group label logit``.
        dataset: The whole dataset, these eyes among its.
        resamples: Bootstrap samples of people.
        seed: Seed of folds, trees and bootstrap.
    """
    reason = too_few_people(eyes["label"], eyes["person_group"])
    if reason:
        people = int(eyes["person_group"].nunique())
        return NetworkGain(people=people, reason=reason)
    frame = dataset.frame
    with progress("shortcuts", "eye") as on_progress:
        shortcuts = find_shortcuts(dataset, on_progress=on_progress)
    scored = shortcut_scores(shortcuts, frame["label"], frame["person_group"], seed=seed)
    place = pd.Series(np.arange(len(frame)), index=frame["image_id"])[eyes["image_id"]].to_numpy()
    return network_gain(
        eyes["label"],
        eyes["logit"],
        eyes["person_group"],
        scored.of(place),
        resamples=resamples,
        seed=seed,
    )


def log_gain(run: Run, gain: NetworkGain) -> None:
    """Store a gain as ``network_gain.json``."""
    run.log_json(gain.record(), NETWORK_GAIN)


def gain_metrics(gain: NetworkGain, *, split: str) -> dict[str, float]:
    """Name its metrics; none where it was not measured."""
    if gain.gain is None:
        return {}
    named = gain.gain.columns(AUROC_GAIN)
    return {f"{split}/{name}": value for name, value in named.items()}


def gain_rows(gain: NetworkGain) -> pd.DataFrame:
    """Lay it out as :func:`fundus_ml.evaluation.scores.long_scores`; empty if not measured."""
    if gain.gain is None:
        return pd.DataFrame()
    row = {"attack": CLEAN, "constraint": CLEAN, "eps": 0.0, "per": "person"}
    return pd.DataFrame([row | {"measure": AUROC_GAIN} | vars(gain.gain) | {"count": gain.people}])
