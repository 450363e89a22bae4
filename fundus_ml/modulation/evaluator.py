"""A modulation and its controls measured alike: effects, region shares, minimal norms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.manifest import SEXES
from fundus_ml.imaging.regions.shams import sham_regions
from fundus_ml.modulation import (
    CONTRAST_BLEND,
    CONTROL_DIRECTIONS,
    SALIENCY,
    Chosen,
    ModulationOptions,
    blend_partners,
    control_pictures,
    norms_along,
    pictures_along,
    saliency_directions,
)
from fundus_ml.modulation.confined_budgets import confined_table
from fundus_ml.modulation.control_table import MODULATION, control_table
from fundus_ml.modulation.effects import effect_rows, evaluated
from fundus_ml.modulation.localisation import enrichment_by_part, region_shares
from fundus_ml.modulation.norm_tables import flipped_table, min_norm_table
from fundus_ml.modulation.null_distribution import null_table
from fundus_ml.modulation.paired_differences import paired_differences


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What was found in the pictures of one condition.

    Attributes:
        effects: Rows of ``effect_rows``, with the independent evaluator's columns where there is
            one.
        shares: Rows of ``region_shares``; none where the dataset has no region maps.
        min_norms: ``(N,)`` minimal perturbation norms by region; empty where none was searched.
    """

    effects: pd.DataFrame
    shares: pd.DataFrame
    min_norms: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures pictures, whoever made them, in one way.

    Attributes:
        eyes: Manifest rows of the N eyes.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        chosen: Their pixels and targets.
        options: Options of the modulation.
        independent: Scores everything again; None where nobody does.
        classes: Names of label 0 and 1.
        disc_ring: Whether the ring around the disc counts as a part too.
    """

    eyes: pd.DataFrame
    regions: NDArray[np.uint8] | None
    chosen: Chosen
    options: ModulationOptions
    independent: nn.Module | None
    classes: tuple[str, str] = SEXES
    disc_ring: bool = False

    @cached_property
    def _shams(self) -> dict[str, NDArray[np.bool_]]:
        """Placed once for all conditions; empty without region maps."""
        return {} if self.regions is None else sham_regions(self.regions)

    def measure(
        self,
        model: nn.Module,
        pictures: NDArray[np.uint8],
        min_norms: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
    ) -> Measurements:
        """Score ``(E, N, H, W, 3)`` pictures by ``model``, the independent evaluator, the maps."""
        pixels, target = self.chosen.pixels, self.chosen.target
        effects = effect_rows(
            model,
            pixels,
            pictures,
            frame=self.eyes,
            target=target,
            options=self.options,
            classes=self.classes,
        )
        if self.independent is not None:
            seen = evaluated(
                self.independent,
                pixels,
                pictures,
                target,
                batch_size=self.options.batch_size,
            )
            effects = pd.concat([effects, seen], axis=1)
        shares = region_shares(
            pixels,
            pictures,
            self.regions,
            image_ids=self.eyes["image_id"].tolist(),
            eps=self.options.eps,
            shams=self._shams,
            with_ring=self.disc_ring,
        )
        return Measurements(effects=effects, shares=shares, min_norms=min_norms)


def saliency_controls(
    evaluator: Evaluator, model: nn.Module, lengths: NDArray[np.float64], *, seed: int
) -> Iterator[tuple[str, Measurements]]:
    """Make and measure the changes along one gradient of the model, by condition.

    Args:
        evaluator: The eyes.
        model: The network that is modulated by.
        lengths: ``(E, N)`` lengths of the modulation's changes.
        seed: Seed of the noise of SmoothGrad.
    """
    chosen, options = evaluator.chosen, evaluator.options
    for condition in SALIENCY:
        directions = saliency_directions(
            condition,
            model,
            chosen.pixels,
            chosen.target,
            seed=seed,
            batch_size=options.batch_size,
        )
        made = pictures_along(chosen.pixels, directions, lengths, allowed=chosen.allowed)
        min_norms = {}
        if options.min_norm_steps:
            min_norms[chosen.region] = norms_along(
                model, chosen.pixels, chosen.target, directions, options, allowed=chosen.allowed
            )
        yield condition, evaluator.measure(model, made, min_norms)


def same_length_controls(
    evaluator: Evaluator, split: FundusDataset, lengths: NDArray[np.float64], *, seed: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Make the controls that ask no network: ``(E, N, H, W, 3)`` uint8 by condition.

    Args:
        evaluator: The eyes.
        split: Where the contrast blend finds other people's eyes.
        lengths: ``(E, N)`` lengths of the modulation's changes.
        seed: Seed of the noise and of the draw of partners.
    """
    chosen = evaluator.chosen
    partners = blend_partners(split.frame, evaluator.eyes, chosen.target, seed=seed)
    for condition in (CONTRAST_BLEND, *CONTROL_DIRECTIONS):
        yield (
            condition,
            control_pictures(
                condition,
                chosen.pixels,
                lengths,
                seed=seed,
                allowed=chosen.allowed,
                partners=split.pixels(partners) if condition == CONTRAST_BLEND else None,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ConditionTables:
    """The tables over all conditions.

    Attributes:
        controls: Rows of ``control_table``.
        min_norms: Rows of ``min_norm_table``.
        flipped: Rows of ``flipped_table``.
        confined: Rows of ``confined_table``: the same per value of the region, beside its sham.
        enrichment: Rows of ``enrichment_by_part`` with ``condition``.
        null: Rows of ``null_table``; none with fewer than two null models.
        differences: Rows of ``paired_differences``.
    """

    controls: pd.DataFrame
    min_norms: pd.DataFrame
    flipped: pd.DataFrame
    confined: pd.DataFrame
    enrichment: pd.DataFrame
    null: pd.DataFrame
    differences: pd.DataFrame


def compare_conditions(
    evaluator: Evaluator, found: Mapping[str, Measurements], *, resamples: int, seed: int
) -> ConditionTables:
    """Put the modulation beside its controls, with intervals clustered by person."""
    how = {"resamples": resamples, "seed": seed}
    searched = {condition: each.min_norms for condition, each in found.items() if each.min_norms}
    whole = {
        condition: min_norms[evaluator.chosen.region] for condition, min_norms in searched.items()
    }
    enrichments = [
        enrichment_by_part(each.shares, evaluator.eyes, **how).assign(condition=condition)
        for condition, each in found.items()
    ]
    enrichment = pd.concat(enrichments, ignore_index=True)
    effects = {condition: each.effects for condition, each in found.items()}
    return ConditionTables(
        controls=control_table(effects, whole, **how),
        min_norms=min_norm_table(searched, evaluator.eyes, against=MODULATION, **how),
        flipped=flipped_table(searched, evaluator.eyes, eps=evaluator.options.eps, **how),
        confined=confined_table(
            searched,
            evaluator.chosen.confined,
            evaluator.eyes,
            constraint=evaluator.options.constraint,
            **how,
        ),
        enrichment=enrichment,
        null=null_table(enrichment),
        differences=paired_differences(
            effects,
            {condition: each.shares for condition, each in found.items()},
            evaluator.eyes,
            seed=seed,
        ),
    )
