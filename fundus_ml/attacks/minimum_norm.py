"""The smallest change that turns an image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fundus_ml.attacks.folding import FEWEST_STEPS
from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.threat_models import SMALLEST_NORM, ThreatModel, lengths, sizes
from fundus_ml.errors import InputError

WIDEST_STEP, NARROWEST_STEP = 1.0, 0.01
"""Length of the first and of the last step, in radii of the ball of the moment."""
COARSE, FINE = 0.05, 0.001
"""Share by which the ball shrinks or grows in the first step and in the last."""
BEYOND = 1.05
"""How far past the boundary that a linear network would have the first balls reach."""
GROWTH = 1.2
"""Least growth of the ball from step to step until a first point is solved."""
SMALLEST = 1e-5
"""Radius of the first ball where an image lies on the boundary."""
HALVINGS = 10
"""Halvings of the segment from the image to the point found; a thousandth of it is left."""
CLEAR, CLEAR_SHARE = 1e-4, 0.002
"""Logit past the boundary where halving ends, at most this share of the image's own: in a batch of
another size the fp32 logit of the same image differs by some 1e-5."""
FURTHER = 1.01
"""Where halving begins, in ways to the point found: that one may lie too near the boundary."""


@dataclass(frozen=True, kw_only=True)
class MinimumNormResult:
    """The smallest changes that were found.

    Attributes:
        x_adv: ``(N, 3, H, W)`` in [0, 1]; the image itself where none was needed or found.
        eps: ``(N,)`` size of the change; 0 where the image is solved as it is, inf where no change
            was found that solves it.
    """

    x_adv: Tensor
    eps: Tensor


def minimum_norm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    constraint: str,
    mask: Tensor | None = None,
    attack_steps: int = 100,
    target: Tensor | None = None,
    precision: str = "auto",
) -> MinimumNormResult:
    """Search for the smallest change that makes the network name the other class.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        labels: ``(N,)``, 0 or 1: the class to be left.
        constraint: What the size of a change is: ``l2`` or ``linf``.
        mask: Where the image may change, as :class:`ThreatModel` takes it.
        attack_steps: Gradients taken of each image.
        target: ``(N,)``, 0 or 1: the class to be reached instead.
        precision: Precision of the passes; that a change turns the image is told in fp32.

    Raises:
        InputError: As :func:`fundus_ml.attacks.pgd`.

    Source:
        Pintor et al. 2021, arXiv:2102.12827 (FMN): gradient steps in a ball that shrinks while the
        point in it is solved and grows while it is not. Ours measures steps in radii of that ball
        (theirs are of length one, far too long for a network that turns at 0.05), steps along the
        sign for ``linf``, and in the end halves the way back to the image.
    """
    if attack_steps < 1:
        raise InputError(f"attack_steps={attack_steps}: must be at least 1")
    widest = math.sqrt(images[:1].numel()) if constraint == "l2" else 1.0
    problem = Problem.make(
        model,
        images,
        labels,
        threat=ThreatModel(constraint=constraint, eps=widest, mask=mask),
        target=target,
        precision=precision,
    )
    with frozen(model):
        if attack_steps >= FEWEST_STEPS:
            problem = problem.quickened()
        result, eps = problem.images.clone(), torch.zeros_like(problem.aim)
        rows = (problem.margins(result, exact=True) <= 0).nonzero().squeeze(1)
        if len(rows):
            eps[rows] = torch.inf
            x_adv, found = _search(problem.of(rows), attack_steps, widest)
            rows, x_adv = rows[found], x_adv[found]
        if len(rows):
            result[rows] = _nearest(problem.of(rows), x_adv)
            eps[rows] = sizes(result[rows] - problem.images[rows], constraint)
    return MinimumNormResult(x_adv=result, eps=eps)


def _search(problem: Problem, attack_steps: int, widest: float) -> tuple[Tensor, Tensor]:
    """Give back the nearest solved point of each image and whether there is one."""
    images, threat = problem.images, problem.threat
    x_adv, best, eps = images, images.clone(), torch.zeros_like(problem.aim)
    shortest = torch.full_like(eps, torch.inf)
    for step in range(attack_steps):
        fade = (1 + math.cos(math.pi * step / attack_steps)) / 2
        margins, gradient = problem.climb(x_adv)
        solved = problem.solved(x_adv, margins)
        size = sizes(x_adv - images, threat.constraint)
        nearer = solved & (size < shortest)
        best[nearer], shortest = x_adv[nearer], torch.where(nearer, size, shortest)
        share = FINE + (COARSE - FINE) * fade
        tuned = torch.where(
            solved,
            torch.minimum(eps, shortest) * (1 - share),
            torch.minimum(eps * (1 + share), shortest),
        )
        ahead = -margins / (_steepness(threat, gradient) + SMALLEST_NORM)
        linear = torch.maximum(size + BEYOND * ahead, GROWTH * eps).clamp(SMALLEST, widest)
        eps = torch.where(torch.isinf(shortest), linear, tuned)
        ball = ThreatModel(constraint=threat.constraint, eps=eps, mask=threat.mask)
        length = ball.radius(images) * (NARROWEST_STEP + (WIDEST_STEP - NARROWEST_STEP) * fade)
        x_adv = ball.project(images, x_adv + length * ball.step(gradient))
    margins = problem.margins(x_adv, exact=True)
    nearer = (margins > 0) & (sizes(x_adv - images, threat.constraint) < shortest)
    best[nearer] = x_adv[nearer]
    return best, nearer | ~torch.isinf(shortest)


def _nearest(problem: Problem, x_adv: Tensor) -> Tensor:
    """Go back from solved points towards their images as far as they stay clearly solved."""
    images = problem.images
    delta = x_adv - images
    clear = (-CLEAR_SHARE * problem.margins(images, exact=True)).clamp(max=CLEAR)

    def at(share: Tensor) -> tuple[Tensor, Tensor]:
        tried = (images + share.view(-1, 1, 1, 1) * delta).clamp(0, 1)
        return tried, problem.margins(tried, exact=True) > clear

    near, far = torch.zeros_like(problem.aim), torch.full_like(problem.aim, FURTHER)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        _, solved = at(middle)
        near, far = torch.where(solved, near, middle), torch.where(solved, middle, far)
    reached, solved = at(far)
    return torch.where(solved.view(-1, 1, 1, 1), reached, x_adv)


def _steepness(threat: ThreatModel, gradient: Tensor) -> Tensor:
    """How much the margin rises at most over a change of size one, ``(N,)``."""
    allowed = threat.masked(gradient)
    if threat.constraint == "l2":
        return lengths(allowed).flatten()
    return allowed.abs().sum((1, 2, 3))
