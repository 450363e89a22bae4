"""Scores of every method's maps; the dear ones on the first eyes alone."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.running.console import progress
from experiments.running.explained import ExplainedEyes, MethodMaps
from fundus_ml.attribution import SEEDED, AttributionOptions, attribute, is_signed
from fundus_ml.faithfulness import FaithfulnessOptions, quickened, removals_of, score_maps
from fundus_ml.imaging.pictures import to_images
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.models.classifiers import Classifier


def scored_maps(
    classifier: Classifier,
    eyes: ExplainedEyes,
    maps: MethodMaps,
    options: FaithfulnessOptions,
    attribution: AttributionOptions,
    *,
    sanity_images: int,
) -> dict[str, pd.DataFrame]:
    """Score every method's maps.

    Args:
        classifier: Explained network.
        eyes: Explained eyes.
        maps: What the methods say of them.
        options: How maps are scored.
        attribution: How they were made, for scores that ask a method again.
        sanity_images: Eyes, the first of them, on which methods are asked again: about a randomised
            network, noisy copies, other seeds. The others have NaN there.

    Returns:
        By method, rows of :func:`fundus_ml.faithfulness.score_maps`.
    """
    images = to_images(eyes.pixels, next(classifier.parameters()).device)
    quick = quickened(classifier, images)
    removals = removals_of(classifier, images, options=options, quick=quick)
    areas = None if eyes.regions is None else PartAreas(eyes.regions, with_ring=True)
    found = {}
    with progress("score", "method") as on_step:
        for place, (method, made) in enumerate(maps.by_method.items(), start=1):
            signed = is_signed(method, classifier)
            given = torch.from_numpy(made).to(images.device)
            scores = score_maps(
                classifier, images, given,
                options=options, regions=areas, signed=signed, removals=removals, quick=quick,
            )  # fmt: skip
            if sanity_images:
                first = slice(sanity_images)
                regions = None if eyes.regions is None else eyes.regions[first]
                asked = partial(_asked, method, attribution, regions=regions)
                again = score_maps(
                    classifier, images[first], given[first],
                    options=options, signed=signed, only_asked_again=True, quick=quick,
                    explain=partial(asked, seed=attribution.seed),
                    seeded_explain=asked if method in SEEDED else None,
                )  # fmt: skip
                scores = _with_all_rows(scores, again)
            found[method] = scores
            on_step(place, len(maps.by_method))
    return found


def _asked(
    method: str,
    options: AttributionOptions,
    model: nn.Module,
    images: Tensor,
    seed: int,
    *,
    regions: NDArray[np.uint8] | None,
) -> Tensor:
    """Ask a method again, about another network, other pixels or with another seed."""
    return attribute(method, model, images, options=replace(options, seed=seed), regions=regions)


def _with_all_rows(scores: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Put the rows of a few eyes beside those of all, NaN where an eye was not asked."""
    keys = again[["score", "part"]].drop_duplicates()
    every = keys.merge(pd.DataFrame({"row": np.sort(scores["row"].unique())}), how="cross")
    whole = every.merge(again, how="left", on=["row", "score", "part"])
    return pd.concat([scores, whole[scores.columns]], ignore_index=True)
