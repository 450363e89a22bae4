"""A modulation and its controls, measured alike: effects, shares, least budgets by origin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.protocol.networks import Network
from fundus_ml.chance import chance_table
from fundus_ml.control_table import control_table, least_budget_table
from fundus_ml.dataset import FundusDataset
from fundus_ml.effects import effect_rows, judged
from fundus_ml.modulation import (
    CONTRAST_BLEND,
    CONTROL_DIRECTIONS,
    Chosen,
    ModulationOptions,
    blend_partners,
    control_pictures,
)
from fundus_ml.region_shares import density_by_part, region_shares


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found, by origin of the pictures: the modulation first, then its controls.

    Attributes:
        effects: Rows of ``effect_rows``, with the judge's columns where there is one.
        least: ``(N,)`` least budgets by region, of those origins that searched them.
        shares: Rows of ``region_shares`` with ``origin``.
    """

    effects: dict[str, pd.DataFrame] = field(default_factory=dict)
    least: dict[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    shares: list[pd.DataFrame] = field(default_factory=list)


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
        measured: Measured,
        origin: str,
        network: Network,
        pictures: NDArray[np.uint8],
        least: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        """Add what ``network``, the judge and the region maps say of ``(E, N, H, W, 3)``."""
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
        measured.effects[origin] = effects
        if least:
            measured.least[origin] = least
        shares = region_shares(
            pixels,
            pictures,
            self.regions,
            image_ids=self.eyes["image_id"].tolist(),
            eps=self.options.eps,
        )
        measured.shares.append(shares.assign(origin=origin))


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


def compare_origins(bench: Bench, measured: Measured, *, resamples: int, seed: int) -> Compared:
    """Put the modulation beside its controls, with intervals clustered by person."""
    how = {"resamples": resamples, "seed": seed}
    region = bench.chosen.region
    whole = {origin: found[region] for origin, found in measured.least.items()}
    densities = [
        density_by_part(shares, bench.eyes, **how).assign(origin=origin)
        for origin, shares in zip(measured.effects, measured.shares, strict=True)
    ]
    density = pd.concat(densities, ignore_index=True)
    return Compared(
        controls=control_table(measured.effects, whole, **how),
        least=least_budget_table(measured.least, bench.eyes, **how),
        density=density,
        chance=chance_table(density),
    )
