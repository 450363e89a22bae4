"""Every score of a batch of explanation maps in one long table."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.deletion_insertion import deletion_insertion
from fundus_ml.faithfulness.explained import Explain, Explained, SeededExplain
from fundus_ml.faithfulness.localisation import Localised
from fundus_ml.faithfulness.max_sensitivity import max_sensitivity
from fundus_ml.faithfulness.options import FaithfulnessOptions
from fundus_ml.faithfulness.perturbation import infidelity, scaled_infidelity, sensitivity_n
from fundus_ml.faithfulness.randomisation import cascade, repeatability
from fundus_ml.faithfulness.removals import Removals, remove_subsets
from fundus_ml.faithfulness.scores import ENRICHMENT
from fundus_ml.faithfulness.sparseness import effective_area, gini
from fundus_ml.imaging.regions.energy_shares import PartAreas

Values = Tensor | NDArray[np.float64]
COLUMNS = ("row", "score", "part", "value")
"""Columns of :func:`score_maps`."""
OnStep = Callable[[int, int], None]


def score_maps(
    classifier: nn.Module,
    images: Tensor,
    attributions: Tensor,
    *,
    options: FaithfulnessOptions,
    explain: Explain | None = None,
    seeded_explain: SeededExplain | None = None,
    regions: NDArray[np.uint8] | PartAreas | None = None,
    signed: bool = True,
    removals: Removals | None = None,
    quick: nn.Module | None = None,
    only_asked_again: bool = False,
    on_step: OnStep | None = None,
) -> pd.DataFrame:
    """Score maps of one method on one batch of images.

    Args:
        classifier: Maps pixels in [0, 1] to ``(N,)`` logits; given back as it was.
        images: ``(N, 3, H, W)`` float32 in [0, 1], where the network lives.
        attributions: ``(N, H, W)`` finite maps, positive where a pixel speaks for the second class.
        options: How they are scored.
        explain: Makes the maps again from a network and images; without it, scores that need it
            are left out.
        seeded_explain: The same with a seed; likewise.
        regions: ``(N, H, W)`` uint8 region maps, or their ``PartAreas``, which several methods can
            share; likewise.
        signed: Whether the sign of the maps has that meaning; else their absolute value counts.
        removals: :func:`removals_of` these images, where another method was scored before.
        quick: :func:`~fundus_ml.faithfulness.explained.quickened` of the classifier, likewise.
        only_asked_again: Leave out the scores that ask no method again.
        on_step: Called with (groups of scores done, groups in all) after each.

    Returns:
        One row per image, score and part: ``row score part value``, ``row`` being the image's
        position, ``part`` empty where a score has none. NaN where a map, or an eye that does not
        show the part, has no score.

    Raises:
        InputError: Images, maps, regions or removals do not fit one another, or a callable gives
            no finite ``(n, H, W)`` maps.
    """
    explained = Explained.make(
        classifier,
        images,
        attributions,
        signed=signed,
        batch_size=options.batch_size,
        seed=options.seed,
        quick=quick,
    )
    groups: list[Callable[[], Iterator[tuple[str, str, Values]]]] = []
    if not only_asked_again:
        groups += [
            partial(_curves, explained, options),
            partial(_removed, explained, options, removals),
            partial(_spread, explained),
        ]
    if explain is not None:
        groups += [
            partial(_noisy, explained, explain, options),
            partial(_cascaded, explained, explain, options),
        ]
    if seeded_explain is not None:
        groups.append(partial(_repeated, explained, seeded_explain, options))
    if regions is not None and not only_asked_again:
        groups.append(partial(_located, explained, regions, options))
    rows = []
    for done, group in enumerate(groups, start=1):
        for score, part, values in group():
            value = values.double().cpu().numpy() if isinstance(values, Tensor) else values
            rows.append(
                pd.DataFrame(
                    {"row": np.arange(len(value)), "score": score, "part": part, "value": value}
                )
            )
        if on_step is not None:
            on_step(done, len(groups))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)]


def removals_of(
    classifier: nn.Module,
    images: Tensor,
    *,
    options: FaithfulnessOptions,
    quick: nn.Module | None = None,
) -> Removals:
    """Remove the subsets of :func:`score_maps` once, for every method that explains these images.

    Args:
        classifier: As :func:`score_maps`.
        images: As :func:`score_maps`.
        options: As :func:`score_maps`.
        quick: As :func:`score_maps`.

    Raises:
        InputError: As :func:`score_maps`.
    """
    nothing = torch.zeros_like(images[:, 0])
    explained = Explained.make(
        classifier, images, nothing, batch_size=options.batch_size, quick=quick
    )
    return _subsets(explained, options)


def _subsets(explained: Explained, options: FaithfulnessOptions) -> Removals:
    return remove_subsets(
        explained,
        patch=options.patch,
        removed_shares=options.removed_shares,
        subsets=options.subsets,
        fill=options.removal_fill,
        blur=options.blur,
        seed=options.seed,
    )


def _curves(
    explained: Explained, options: FaithfulnessOptions
) -> Iterator[tuple[str, str, Values]]:
    curves = deletion_insertion(
        explained, fills=options.fills, levels=options.levels, blur=options.blur
    )
    for fill, found in curves.items():
        yield f"deletion_{fill}", "", found.deletion_area
        yield f"insertion_{fill}", "", found.insertion_area


def _removed(
    explained: Explained, options: FaithfulnessOptions, removals: Removals | None
) -> Iterator[tuple[str, str, Values]]:
    if removals is None:
        removals = _subsets(explained, options)
    wanted = (len(explained), len(options.removed_shares), options.subsets)
    if removals.losses.shape != wanted or removals.patch != options.patch:
        raise InputError(
            f"removals: {tuple(removals.losses.shape)} losses of patches of {removals.patch} "
            f"pixels do not fit {wanted} of {options.patch}"
        )
    yield "sensitivity_n", "", sensitivity_n(removals, explained.directed).mean(dim=1)
    yield "infidelity", "", infidelity(removals, explained.directed)
    yield "scaled_infidelity", "", scaled_infidelity(removals, explained.directed)


def _spread(explained: Explained) -> Iterator[tuple[str, str, Values]]:
    yield "gini", "", gini(explained.attributions)
    yield "effective_area", "", effective_area(explained.attributions)


def _noisy(
    explained: Explained, explain: Explain, options: FaithfulnessOptions
) -> Iterator[tuple[str, str, Values]]:
    yield (
        "max_sensitivity",
        "",
        max_sensitivity(
            explained,
            explain,
            radius=options.noise_radius,
            draws=options.noise_draws,
            seed=options.seed,
        ),
    )


def _cascaded(
    explained: Explained, explain: Explain, options: FaithfulnessOptions
) -> Iterator[tuple[str, str, Values]]:
    found = cascade(explained, explain, stages=options.stages, seed=options.seed)
    for name in ("rank_correlation", "ssim"):
        # One stage without a value leaves none: a mean over the others would hide it.
        by_stage = found[name].to_numpy(np.float64).reshape(-1, len(explained))
        yield f"cascade_{name}", "", by_stage.mean(axis=0)


def _repeated(
    explained: Explained, explain: SeededExplain, options: FaithfulnessOptions
) -> Iterator[tuple[str, str, Values]]:
    found = repeatability(explained, explain, repeats=options.repeats, seed=options.seed)
    for name in ("rank_correlation", "ssim"):
        yield f"repeat_{name}", "", found[name].to_numpy(np.float64)


def _located(
    explained: Explained, regions: NDArray[np.uint8] | PartAreas, options: FaithfulnessOptions
) -> Iterator[tuple[str, str, Values]]:
    localised = Localised(explained, regions)
    for score, found in (
        ("pointing_game", localised.pointing_game(tolerance=options.tolerance)),
        ("relevance_mass", localised.relevance_mass),
        ("relevance_rank", localised.relevance_rank),
        (ENRICHMENT, localised.enrichment(energy=options.energy)),
    ):
        for part, values in zip(localised.names, found.T, strict=True):
            yield score, part, values
