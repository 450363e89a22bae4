"""A modulation and its controls, measured alike: effects, shares, least budgets by origin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.running.networks import Network
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.modulation import (
    CONTRAST_BLEND,
    CONTROL_DIRECTIONS,
    Chosen,
    ModulationOptions,
    blend_partners,
    control_pictures,
)
from fundus_ml.modulation.control_table import control_table, least_budget_table
from fundus_ml.modulation.effects import effect_rows, judged
from fundus_ml.modulation.localisation import density_by_part, region_shares
from fundus_ml.modulation.null_distribution import chance_table


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in the pictures of one origin.

    Attributes:
        effects: Rows of ``effect_rows``, with the judge's columns where there is one.
        shares: Rows of ``region_shares``; none where the dataset has no region maps.
        least: ``(N,)`` least budgets by region; empty where none was searched.
    """

    effects: pd.DataFrame
    shares: pd.DataFrame
    least: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measures pictures, whoever made them, in one way.

    Attributes:
        eyes: Manifest rows of the N eyes.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        chosen: Their pixels and targets.
        options: Of the modulation.
        judge: Scores everything again; None where nobody does.
    """

    eyes: pd.DataFrame
    regions: NDArray[np.uint8] | None
    chosen: Chosen
    options: ModulationOptions
    judge: Network | None

    def measure(
        self,
        network: Network,
        pictures: NDArray[np.uint8],
        least: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
    ) -> Found:
        """Ask ``network``, the judge and the region maps about ``(E, N, H, W, 3)``."""
        pixels, target = self.chosen.pixels, self.chosen.target
        effects = effect_rows(
            network.module,
            pixels,
            pictures,
            frame=self.eyes,
            target=target,
            options=self.options,
        )
        if self.judge is not None:
            seen = judged(
                self.judge.module, pixels, pictures, target, batch_size=self.options.batch_size
            )
            effects = pd.concat([effects, seen], axis=1)
        shares = region_shares(
            pixels,
            pictures,
            self.regions,
            image_ids=self.eyes["image_id"].tolist(),
            eps=self.options.eps,
        )
        return Found(effects=effects, shares=shares, least=least)


def same_length_controls(
    bench: Bench, split: FundusDataset, lengths: NDArray[np.float64], *, seed: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Make the controls that ask no network: ``(E, N, H, W, 3)`` uint8 by origin.

    Args:
        bench: The eyes.
        split: Where the contrast blend finds other people's eyes.
        lengths: ``(E, N)`` lengths of the modulation's changes.
        seed: Of the noise and of the draw of partners.
    """
    chosen = bench.chosen
    partners = blend_partners(split.frame, bench.eyes, chosen.target, seed=seed)
    for origin in (CONTRAST_BLEND, *CONTROL_DIRECTIONS):
        yield (
            origin,
            control_pictures(
                origin,
                chosen.pixels,
                lengths,
                seed=seed,
                allowed=chosen.allowed,
                partners=split.pixels(partners) if origin == CONTRAST_BLEND else None,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The tables over all origins.

    Attributes:
        controls: Rows of ``control_table``.
        least: Rows of ``least_budget_table``.
        density: Rows of ``density_by_part`` with ``origin``.
        chance: Rows of ``chance_table``; none with fewer than two networks at chance.
    """

    controls: pd.DataFrame
    least: pd.DataFrame
    density: pd.DataFrame
    chance: pd.DataFrame


def compare_origins(
    bench: Bench, found: Mapping[str, Found], *, resamples: int, seed: int
) -> Compared:
    """Put the modulation beside its controls, with intervals clustered by person."""
    how = {"resamples": resamples, "seed": seed}
    searched = {origin: each.least for origin, each in found.items() if each.least}
    whole = {origin: least[bench.chosen.region] for origin, least in searched.items()}
    densities = [
        density_by_part(each.shares, bench.eyes, **how).assign(origin=origin)
        for origin, each in found.items()
    ]
    density = pd.concat(densities, ignore_index=True)
    effects = {origin: each.effects for origin, each in found.items()}
    return Compared(
        controls=control_table(effects, whole, **how),
        least=least_budget_table(searched, bench.eyes, **how),
        density=density,
        chance=chance_table(density),
    )
