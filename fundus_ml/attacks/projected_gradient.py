"""Projected gradient steps."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fundus_ml.attacks.folding import FEWEST_STEPS
from fundus_ml.attacks.options import DECAYS, Decay, Loss
from fundus_ml.attacks.search import (
    Best,
    Problem,
    check_restarts,
    frozen,
    worst_of_restarts,
)
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.errors import InputError

SMALLEST_MEAN = 1e-20
"""Added to a gradient's mean size before dividing, where steps gather momentum."""


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: ThreatModel,
    step_size: float | Tensor,
    attack_steps: int,
    start: Tensor | None = None,
    random_start: bool = False,
    restarts: int = 1,
    keep_best: bool = True,
    momentum: float = 0.0,
    decay: Decay = "none",
    target: Tensor | None = None,
    loss: Loss = "margin",
    leave_solved: bool = False,
    final_check: bool = False,
    eight_bit: bool = False,
    precision: str = "auto",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the loss inside the threat model's ball, projecting after each step.

    The model is frozen and in evaluation mode while this runs, and given back as it was.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        labels: ``(N,)``, 0 or 1: the class whose loss is climbed.
        threat: Ball (and pixel mask) the result stays inside.
        step_size: Length of one step, in the unit of ``threat.eps``; ``(N,)`` gives each image its
            own.
        attack_steps: Number of steps.
        start: ``(N, 3, H, W)`` where to start from instead of the images; brought into the ball.
        random_start: Start from a random point of the ball instead of the image.
        restarts: Searches from starts of their own, of which the worst point is kept.
        keep_best: Return the iterate with the best loss of each image, not the last.
        momentum: Share of the former direction that each step keeps.
        decay: With ``linear`` the first step is nearly twice as long and the last nearly none, and
            all add up to as much: the end is nearer to the summit than steps of one length come.
        target: ``(N,)``, 0 or 1: descend towards this class instead of away from
            ``labels``.
        loss: What is climbed: the ``margin``, which always has a gradient, or ``ce``.
        leave_solved: An image that the network names wrongly (or ``target``), by its fp32 logit,
            is finished; the passes go on with the others.
        final_check: Score what was found in fp32; where it is no worse than the start, that comes
            back.
        eight_bit: Round the result to 8 bits, still inside the ball.
        precision: Precision of the forward and backward passes: ``auto``, ``fp32`` or ``bf16``.
        generator: Draws the random start.

    Returns:
        ``(N, 3, H, W)`` perturbed images in [0, 1], detached.

    Raises:
        InputError: Shapes do not match, ``images`` leave [0, 1], a label is not 0 or 1, ``start``
            is given and drawn at once, or ``step_size``, ``attack_steps``, ``momentum``, ``decay``
            or ``restarts`` is outside its range.

    Source:
        Madry et al. 2018, arXiv:1706.06083, with the step, projection and best-iterate rule of
        the `robustness` library; momentum as Dong et al. 2018, arXiv:1710.06081. Ours climbs the
        signed logit: with one logit that is the direction and the order of cross-entropy, whose
        gradient vanishes in float32 where the network is sure. Restarts keep the worst point;
        `robustness` keeps the last.
    """
    problem = Problem.make(
        model, images, labels, threat=threat, target=target, precision=precision, loss=loss
    )
    check_restarts(restarts, random_start=random_start)
    if start is not None:
        start = _brought_in(start, problem, random_start=random_start)
    if attack_steps < 0:
        raise InputError(f"attack_steps={attack_steps}: must be 0 or more")
    if not 0 <= momentum < float("inf"):
        raise InputError(f"momentum={momentum}: must be a finite number, 0 or more")
    if decay not in DECAYS:
        raise InputError(f"decay={decay}: allowed: {', '.join(DECAYS)}")
    how = _Steps(
        size=_checked(step_size, problem.images),
        count=attack_steps,
        momentum=momentum,
        decay=decay,
        keep_best=keep_best,
        leave_solved=leave_solved,
    )

    def run(part: Problem, start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return _ascend(part, start, how.of(rows))

    with frozen(model):
        return worst_of_restarts(
            problem.quickened() if attack_steps >= FEWEST_STEPS else problem,
            run,
            start=start,
            random_start=random_start,
            generator=generator,
            restarts=restarts,
            leave_solved=leave_solved,
            final_check=final_check,
            eight_bit=eight_bit,
        )


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """How to climb; ``size`` is ``(N, 1, 1, 1)``."""

    size: Tensor
    count: int
    momentum: float
    decay: Decay
    keep_best: bool
    leave_solved: bool

    def length(self, step: int) -> Tensor:
        """Length of a step, counted from 0."""
        if self.decay == "none":
            return self.size
        return self.size * (2 * (self.count - step) - 1) / self.count

    def of(self, rows: Tensor) -> "_Steps":
        return replace(self, size=self.size[rows])


def _ascend(problem: Problem, start: Tensor, how: _Steps) -> tuple[Tensor, Tensor]:
    """Climb from ``start``; give back the points and their margins."""
    best = Best(start, torch.full_like(problem.aim, -torch.inf))
    rows = torch.arange(len(problem), device=start.device)
    x_adv, velocity = start, torch.zeros(()).to(start)
    for step in range(how.count):
        margins, gradient = problem.climb(x_adv)
        if how.keep_best or how.leave_solved:
            best.offer(x_adv, margins, rows)
        if how.leave_solved:
            solved = problem.solved(x_adv, margins)
            if bool(solved.any()):
                best.x_adv[rows[solved]], best.margins[rows[solved]] = x_adv[solved], torch.inf
                going = (~solved).nonzero().squeeze(1)
                rows, problem, how = rows[going], problem.of(going), how.of(going)
                x_adv, gradient = x_adv[going], gradient[going]
                velocity = velocity[going] if velocity.ndim else velocity
            if not len(rows):
                return best.x_adv, best.margins
        if how.momentum:
            mean = gradient.abs().mean((1, 2, 3), keepdim=True) + SMALLEST_MEAN
            velocity = gradient = how.momentum * velocity + gradient / mean
        moved = problem.threat.step(gradient).mul_(how.length(step)).add_(x_adv)
        x_adv = problem.threat.project(problem.images, moved)
    if how.keep_best or how.leave_solved:
        best.offer(x_adv, problem.margins(x_adv), rows)
    if how.keep_best:
        return best.x_adv, best.margins
    return best.x_adv.index_copy(0, rows, x_adv), best.margins


def _brought_in(start: Tensor, problem: Problem, *, random_start: bool) -> Tensor:
    """Move a given start to where the image may go: into the mask, the ball and [0, 1]."""
    if random_start:
        raise InputError("start: give one, or random_start, not both")
    if start.shape != problem.images.shape:
        raise InputError(
            f"start: shape must be {tuple(problem.images.shape)}, not {tuple(start.shape)}"
        )
    delta = problem.threat.masked(start.detach() - problem.images)
    return problem.threat.project(problem.images, problem.images + delta)


def _checked(step_size: float | Tensor, images: Tensor) -> Tensor:
    size = torch.as_tensor(step_size, dtype=images.dtype, device=images.device)
    if size.ndim > 1 or (size.ndim and len(size) != len(images)):
        raise InputError(
            f"step_size: shape must be ({len(images)},) or one number, not {tuple(size.shape)}"
        )
    wrong = size[~(torch.isfinite(size) & (size >= 0))]
    if wrong.numel():
        raise InputError(f"step_size={float(wrong[0])}: must be a finite number, 0 or more")
    return size.expand(len(images)).view(-1, 1, 1, 1)
