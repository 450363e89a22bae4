"""The minimal perturbation norm that flips each eye, over all changes or along one direction."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.attacks.minimum_norm import minimum_norm
from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.threat_models import ThreatModel, sizes
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.precision import autocast
from fundus_ml.modulation.budget_path import mask_of
from fundus_ml.modulation.options import ModulationOptions

SMALLEST_TRIED = 1e-3
"""Shortest change tried along a direction, in pixels of [0, 1]."""
TRIED, HALVINGS = 40, 10
"""Lengths tried, each the same ratio above the last, and halvings of the step that flips."""


def minimal_perturbations(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    options: ModulationOptions,
    *,
    allowed: NDArray[np.bool_] | None = None,
    pictures: NDArray[np.uint8] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Search for the size of the smallest change that makes the network see the target.

    The change is not rounded to 8 bits: a picture of a change below half a grey level is the
    unchanged eye, and this says how far below it lies.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        target: ``(N,)`` float32, 0 or 1, the class to push towards.
        options: Constraint, ``min_norm_steps``, precision.
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.
        pictures: ``(E, N, H, W, 3)`` uint8 modulations of the eyes: where one flips its eye and the
            search found no change as small, the size of that one counts.
        on_step: Called with (eyes searched, eyes in all).

    Returns:
        ``(N,)`` in units of ``options.constraint``: 0 where the network sees the target as it is,
        inf where no change was found that flips the eye, NaN where nothing of it may change.

    Source:
        :func:`fundus_ml.attacks.minimum_norm`.
    """
    device = next(model.parameters()).device
    min_norms = np.empty(len(pixels), np.float64)
    for first in range(0, len(pixels), options.batch_size):
        rows = slice(first, first + options.batch_size)
        images = to_images(pixels[rows], device)
        towards = torch.from_numpy(target[rows]).to(device)
        found = minimum_norm(
            model,
            images,
            1 - towards,
            constraint=options.constraint,
            mask=None if allowed is None else mask_of(allowed[rows], device),
            attack_steps=options.min_norm_steps,
            target=towards,
            precision=options.precision,
        )
        eps = found.eps
        for slab in () if pictures is None else pictures[:, rows]:
            x_adv = to_images(slab, device)
            eps = _no_larger_than(x_adv, eps, model, images, towards, options.constraint)
        min_norms[rows] = eps.double().cpu().numpy()
        if on_step is not None:
            on_step(min(first + options.batch_size, len(pixels)), len(pixels))
    if allowed is not None:
        min_norms[~allowed.any(axis=(1, 2))] = np.nan
    return min_norms


def norms_along(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    directions: NDArray[np.float32],
    options: ModulationOptions,
    *,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Search along one direction for the smallest change that makes the network see the target.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        target: ``(N,)`` float32, 0 or 1, the class to push towards.
        directions: ``(N, H, W, 3)``, for example saliency maps.
        options: Constraint and batch size.
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.

    Returns:
        ``(N,)`` as :func:`minimal_perturbations`, not rounded to 8 bits: inf
        where no length tried flips the eye.
    """
    device = next(model.parameters()).device
    norms = np.full(len(pixels), np.inf)
    with frozen(model):
        for first in range(0, len(pixels), options.batch_size):
            rows = slice(first, first + options.batch_size)
            images = to_images(pixels[rows], device)
            towards = torch.from_numpy(target[rows]).to(device)
            threat = ThreatModel(constraint=options.constraint, eps=1.0)
            problem = Problem.make(
                model, images, towards, threat=threat, target=towards, precision="fp32"
            )
            change = torch.from_numpy(directions[rows]).permute(0, 3, 1, 2).to(device)
            if allowed is not None:
                change = change * mask_of(allowed[rows], device)
            size = sizes(change, options.constraint).clamp_min(torch.finfo(torch.float32).tiny)
            unit = change / size.view(-1, 1, 1, 1)
            norms[rows] = _along(problem, unit).double().cpu().numpy()
    if allowed is not None:
        norms[~allowed.any(axis=(1, 2))] = np.nan
    return norms


def _no_larger_than(  # noqa: PLR0917 (one tensor each)
    x_adv: Tensor,
    eps: Tensor,
    model: nn.Module,
    images: Tensor,
    towards: Tensor,
    constraint: str,
) -> Tensor:
    """Take the size of each change that is smaller than ``eps``, ``(N,)``, and flips its image."""
    size = sizes(x_adv - images, constraint)
    rows = (size < eps).nonzero().squeeze(1)
    if not len(rows):
        return eps
    with frozen(model), torch.no_grad(), autocast("fp32", images.device):
        margins = (2 * towards[rows] - 1) * model(x_adv[rows])
    flipped = rows[margins > 0]
    return eps.index_copy(0, flipped, size[flipped])


def _along(problem: Problem, unit: Tensor) -> Tensor:
    """Sizes of the first changes along ``unit`` that flip their images, ``(N,)``."""
    images = problem.images
    constraint = problem.threat.constraint
    widest = float(images[:1].numel()) ** 0.5 if constraint == "l2" else 1.0
    ratio = (widest / SMALLEST_TRIED) ** (1 / (TRIED - 1))

    def solved(length: Tensor) -> Tensor:
        tried = (images + length.view(-1, 1, 1, 1) * unit).clamp(0, 1)
        return problem.margins(tried, exact=True) > 0

    near = torch.zeros_like(problem.aim)
    flipped = solved(near)
    far = torch.where(flipped, 0.0, SMALLEST_TRIED)
    for _ in range(TRIED):
        if bool(flipped.all()):
            break
        new = ~flipped & solved(far)
        flipped |= new
        near = torch.where(flipped, near, far)
        far = torch.where(flipped, far, far * ratio)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        hit = solved(middle)
        near, far = torch.where(hit, near, middle), torch.where(hit, middle, far)
    reached = (images + far.view(-1, 1, 1, 1) * unit).clamp(0, 1)
    return torch.where(flipped, sizes(reached - images, constraint), torch.inf)
