"""The least budget that turns each eye."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fundus_ml.attacks import minimum_norm
from fundus_ml.imaging.pictures import to_images
from fundus_ml.modulation.budget_path import mask_of
from fundus_ml.modulation.options import ModulationOptions


def least_budgets(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    options: ModulationOptions,
    *,
    allowed: NDArray[np.bool_] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Search for the size of the smallest change that makes the network see the target.

    The change is not rounded to 8 bits: a picture of a change below half a grey level is the
    unchanged eye, and this says how far below it lies.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        target: ``(N,)`` float32, 0 female, 1 male.
        options: Constraint, ``least_steps``, precision.
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.
        on_step: Called with (eyes searched, eyes in all).

    Returns:
        ``(N,)`` in units of ``options.constraint``: 0 where the network sees the target as it is,
        inf where no change was found that turns the eye, NaN where nothing of it may change.

    Source:
        :func:`fundus_ml.attacks.minimum_norm`.
    """
    device = next(model.parameters()).device
    least = np.empty(len(pixels), np.float64)
    for first in range(0, len(pixels), options.batch_size):
        rows = slice(first, first + options.batch_size)
        towards = torch.from_numpy(target[rows]).to(device)
        found = minimum_norm(
            model,
            to_images(pixels[rows], device),
            1 - towards,
            constraint=options.constraint,
            mask=None if allowed is None else mask_of(allowed[rows], device),
            attack_steps=options.least_steps,
            target=towards,
            precision=options.precision,
        )
        least[rows] = found.eps.double().cpu().numpy()
        if on_step is not None:
            on_step(min(first + options.batch_size, len(pixels)), len(pixels))
    if allowed is not None:
        least[~allowed.any(axis=(1, 2))] = np.nan
    return least
