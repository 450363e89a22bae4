"""Budgets as a path: each goes on from what the budget before it found."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.attacks.engines import attack_by
from fundus_ml.attacks.options import NATIVE
from fundus_ml.attacks.search import Best, Problem, frozen
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.imaging.pictures import to_images, to_uint8
from fundus_ml.modulation.options import OBJECTIVES, ModulationOptions

VERSION = "3"
"""Raised when the same options make other pictures: a killed modulation is then begun anew."""
CLOSE = 0.25
"""Share of the way to the boundary: an eye that lacks no more is run from the image
too, which elsewhere could not flip it."""


def modulate(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    options: ModulationOptions,
    *,
    allowed: NDArray[np.bool_] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> NDArray[np.uint8]:
    """Push each eye towards its target inside each budget.

    The pictures are 8-bit ones inside their ball, and the larger the budget, the likelier the
    target: a picture that is no better than the one before is that one.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        target: ``(N,)`` float32, 0 or 1, the class to push towards.
        options: Budgets, steps.
        allowed: ``(N, H, W)`` where each eye may change; None is everywhere.
        on_step: Called with (pictures made, pictures in all).

    Returns:
        ``(E, N, H, W, 3)`` uint8, one slab per budget: what is saved, scored and shown.

    Source:
        Gaziv, Lee, DiCarlo 2023, arXiv:2308.06887, who run every budget from the image. Ours goes
        on from what the budget before found, stretched to the new budget, and runs from the image
        too where that nearly flips the eye. It climbs the one logit's way to the target, which
        steps as the cross-entropy does.
    """
    device = next(model.parameters()).device
    modulated = np.empty((len(options.eps), *pixels.shape), dtype=np.uint8)
    made = 0
    for first in range(0, len(pixels), options.batch_size):
        rows = slice(first, first + options.batch_size)
        path = _path(
            model,
            to_images(pixels[rows], device),
            torch.from_numpy(target[rows]).to(device),
            options,
            None if allowed is None else mask_of(allowed[rows], device),
        )
        for slab, x_adv in zip(modulated, path, strict=True):
            slab[rows] = to_uint8(x_adv)
            made += len(x_adv)
            if on_step is not None:
                on_step(made, len(options.eps) * len(pixels))
    return modulated


def mask_of(allowed: NDArray[np.bool_], device: torch.device) -> Tensor:
    """Turn ``(N, H, W)`` booleans into the ``(N, 1, H, W)`` mask of a threat model."""
    return torch.from_numpy(np.ascontiguousarray(allowed))[:, None].to(device)


def _path(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    options: ModulationOptions,
    mask: Tensor | None,
) -> Iterator[Tensor]:
    """Yield the best picture of each image at each budget, ``(N, 3, H, W)`` of 8 bits."""
    largest = ThreatModel(constraint=options.constraint, eps=options.eps[-1], mask=mask)
    problem = Problem.make(
        model, images, target, threat=largest, target=target, precision=options.precision
    )
    with frozen(model):
        if options.attack_engine == NATIVE:
            problem = problem.quickened()
        unchanged = problem.margins(images, exact=True)
        best = Best(images, unchanged)
        for place, eps in enumerate(options.eps):
            threat = ThreatModel(constraint=options.constraint, eps=eps, mask=mask)
            if options.attack_engine == NATIVE:
                longer = eps / options.eps[place - 1] if place else 1.0
                start = images + longer * (best.x_adv - images)
                _offer(best, problem, threat, options, start=start)
                gained = best.margins - unchanged
                close = (best.margins <= 0) & (-best.margins <= CLOSE * gained)
                if place and bool(close.any()):
                    _offer(best, problem, threat, options, rows=close.nonzero().squeeze(1))
            else:
                _offer(best, problem, threat, options)
            yield best.x_adv


def _offer(
    best: Best,
    problem: Problem,
    threat: ThreatModel,
    options: ModulationOptions,
    *,
    start: Tensor | None = None,
    rows: Tensor | None = None,
) -> None:
    """Attack the images at ``rows``, or all, and keep what is better in fp32."""
    if rows is not None:
        problem, threat = problem.of(rows), threat.of(rows)
    target = (problem.aim > 0).float()
    assert not isinstance(threat.eps, Tensor)
    native = {
        "start": start,
        "loss": OBJECTIVES[options.objective],
        "decay": options.decay,
        # Steps that shorten end where it is highest.
        "keep_best": options.decay == "none",
    }
    x_adv = attack_by(options.attack_engine)(
        problem.model if problem.quick is None else problem.quick,
        problem.images,
        target,
        threat=threat,
        step_size=options.step_for(threat.eps),
        attack_steps=options.steps,
        target=target,
        precision=problem.precision,
        **(native if options.attack_engine == NATIVE else {}),
    )
    x_adv = threat.to_8bit(problem.images, x_adv)
    best.offer(x_adv, problem.margins(x_adv, exact=True), rows)
