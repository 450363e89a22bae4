"""One network's pictures of chosen eyes at each budget, and its minimal perturbation norms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fundus_ml.modulation.allowed_pixels import WHOLE
from fundus_ml.modulation.budget_path import modulate
from fundus_ml.modulation.keeping import Arrays, Keep, keep_nothing
from fundus_ml.modulation.minimal_perturbations import minimal_perturbations
from fundus_ml.modulation.options import ModulationOptions


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The eyes of a modulation.

    Attributes:
        pixels: ``(N, H, W, 3)`` uint8.
        target: ``(N,)`` float32, 0 or 1, the class to push towards.
        region: Name of where they may change.
        allowed: ``(N, H, W)`` where they may; None is everywhere.
        confined: Further regions, by name, for which the minimal perturbation norm is searched.
    """

    pixels: NDArray[np.uint8]
    target: NDArray[np.float32]
    region: str = WHOLE
    allowed: NDArray[np.bool_] | None = None
    confined: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the eyes."""
        return len(self.pixels)


@dataclass(frozen=True, kw_only=True)
class ModulationResult:
    """What one network did to N eyes.

    Attributes:
        modulated: ``(E, N, H, W, 3)`` uint8.
        min_norms: ``(N,)`` minimal perturbation norms by region, as :func:`minimal_perturbations`;
            empty where none was searched. Of the eyes' own region they are no larger than the first
            picture that flips.
    """

    modulated: NDArray[np.uint8]
    min_norms: Mapping[str, NDArray[np.float64]]


def push(
    model: nn.Module,
    eyes: Chosen,
    options: ModulationOptions,
    *,
    keep: Keep = keep_nothing,
    on_step: Callable[[int, int], None] | None = None,
) -> ModulationResult:
    """Modulate the eyes batch by batch, and search their minimal perturbation norms.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        eyes: Whom, where to, and where they may change.
        options: How far and how.
        keep: Where finished batches outlive the process.
        on_step: Called with (eyes done, eyes in all).
    """
    modulated = np.empty((len(options.eps), *eyes.pixels.shape), np.uint8)
    regions = (eyes.region, *eyes.confined) if options.min_norm_steps else ()
    min_norms = {region: np.empty(len(eyes), np.float64) for region in regions}
    for first in range(0, len(eyes), options.batch_size):
        rows = slice(first, first + options.batch_size)

        def make(rows: slice = rows) -> Arrays:
            return _batch(model, eyes, rows, options, regions)

        batch = keep(f"{first:06d}", make)
        modulated[:, rows] = batch["modulated"]
        for region in regions:
            min_norms[region][rows] = batch[f"min_norm {region}"]
        if on_step is not None:
            on_step(min(first + options.batch_size, len(eyes)), len(eyes))
    return ModulationResult(modulated=modulated, min_norms=min_norms)


def _batch(
    model: nn.Module,
    eyes: Chosen,
    rows: slice,
    options: ModulationOptions,
    regions: tuple[str, ...],
) -> Arrays:
    pixels, target = eyes.pixels[rows], eyes.target[rows]
    allowed = None if eyes.allowed is None else eyes.allowed[rows]
    modulated = modulate(model, pixels, target, options, allowed=allowed)
    made: dict[str, NDArray[np.generic]] = {"modulated": modulated}
    for region in regions:
        own = region == eyes.region
        made[f"min_norm {region}"] = minimal_perturbations(
            model,
            pixels,
            target,
            options,
            allowed=allowed if own else eyes.confined[region][rows],
            pictures=modulated if own else None,
        )
    return made
