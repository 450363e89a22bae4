"""The eyes that a modulation starts from, and where each may change."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from experiments.running.comma_lists import comma_list
from experiments.running.console import warn
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.shams import SHAM, sham_regions
from fundus_ml.modulation import (
    VERSION,
    WHOLE,
    Chosen,
    allowed_pixels,
    check_region,
    choose_eyes,
    noise_like,
    targets_for,
)
from fundus_ml.modulation.effects import logits_of
from tracking.runs import Run

AUTO, NONE = "auto", "none"
AUTO_REGIONS = ("disc", "macula", "vessels", "periphery")


@dataclass(frozen=True, kw_only=True)
class ModulatedEyes:
    """Chosen eyes.

    Attributes:
        split: The split they come from.
        frame: Their N manifest rows.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        chosen: Their pixels, targets, and where each may change.
    """

    split: FundusDataset
    frame: pd.DataFrame
    regions: NDArray[np.uint8] | None
    chosen: Chosen

    @property
    def identity(self) -> dict[str, object]:
        """Everything of the eyes that decides the pictures."""
        mask = self.chosen.allowed
        return {
            "modulation": VERSION,
            "dataset_digest": self.split.digest,
            "allowed": None if mask is None else sha256(np.packbits(mask).tobytes()).hexdigest(),
        }


class ChoosesEyes(Protocol):
    """Flags that say which eyes are modulated, how and where."""

    @property
    def mode(self) -> str:
        """Towards which class each eye goes."""

    @property
    def start(self) -> str:
        """``eye`` or ``noise``."""

    @property
    def batch_size(self) -> int:
        """Eyes at a time."""

    @property
    def images(self) -> int:
        """Number of eyes, one per person."""

    @property
    def seed(self) -> int:
        """Seed of the choice and of the noise."""

    @property
    def region(self) -> str:
        """Where the eyes may change."""

    @property
    def min_norm_regions(self) -> str:
        """Further regions, with commas between them, ``auto`` or ``none``."""

    @property
    def min_norm_shams(self) -> bool:
        """Whether their shams are further regions too."""


def choose(config: ChoosesEyes, split: FundusDataset, model: nn.Module, run: Run) -> ModulatedEyes:
    """Choose the eyes, say how they begin, towards which class they go and where they may change.

    Args:
        config: Flags.
        split: Eyes to choose from.
        model: Says where each eye begins.
        run: Gets a tag for each region that some eyes do not show.

    Raises:
        InputError: Too few people, or a region that there is no map of.
    """
    classes, seed, region = split.contrast.classes, config.seed, config.region
    rows = choose_eyes(
        split.frame, images=config.images, mode=config.mode, seed=seed, classes=classes
    )
    eyes = split.select(rows)
    everyone = np.arange(len(eyes))
    pixels, regions = eyes.pixels(everyone), eyes.regions(everyone)
    check_region(region, has_regions=regions is not None)
    confined = _min_norm_regions(config.min_norm_regions, region, regions)
    if config.start == "noise":
        pixels = noise_like(pixels, seed=seed)
    logit = torch.from_numpy(logits_of(model, pixels, batch_size=config.batch_size))
    labels = torch.from_numpy(eyes.labels)
    target = targets_for(config.mode, labels, logit, classes=classes).numpy()
    shape = (len(eyes), eyes.size, eyes.size)
    allowed = allowed_pixels(region, regions, shape=shape)
    _count_abstained(run, region, allowed)
    masks = {name: allowed_pixels(name, regions, shape=shape) for name in confined}
    if config.min_norm_shams and regions is not None:
        shams = sham_regions(regions)
        masks |= {SHAM + name: shams[name] for name in confined if name in shams}
    for name, mask in masks.items():
        _count_abstained(run, name, mask)
    return ModulatedEyes(
        split=split,
        frame=eyes.frame,
        regions=regions,
        chosen=Chosen(
            pixels=pixels,
            target=target,
            region=region,
            allowed=allowed,
            confined={name: mask for name, mask in masks.items() if mask is not None},
        ),
    )


def _min_norm_regions(given: str, region: str, regions: NDArray[np.uint8] | None) -> list[str]:
    """Name the regions for which a minimal perturbation norm is searched, besides ``region``."""
    has_regions = regions is not None
    if given == NONE or (given == AUTO and regions is None):
        return []
    if given == AUTO:
        assert regions is not None
        shown = [name for name in AUTO_REGIONS if (regions & REGION_FLAGS[name]).any()]
        return [name for name in shown if name != region]
    names = comma_list(given, flag="min_norm_regions")
    for name in names:
        try:
            check_region(name, has_regions=has_regions)
        except InputError as error:
            raise InputError(f"min_norm_regions: {error}") from None
    return [name for name in dict.fromkeys(names) if name not in (region, WHOLE)]


def _count_abstained(run: Run, region: str, allowed: NDArray[np.bool_] | None) -> None:
    """Say how many eyes do not show a region."""
    lacking = 0 if allowed is None else int((~allowed.any(axis=(1, 2))).sum())
    if lacking:
        warn(f"region={region}: {lacking} eyes do not show it")
        run.set_tags({f"without_{region.replace('+', '_').replace(' ', '_')}": str(lacking)})
