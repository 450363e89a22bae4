"""Projected gradient steps that choose their own length."""

import torch
from torch import Tensor, nn

from fundus_ml.attacks.folding import FEWEST_STEPS
from fundus_ml.attacks.options import Loss
from fundus_ml.attacks.search import Best, Problem, check_restarts, frozen, worst_of_restarts
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.errors import InputError

FIRST, SHORTER, SHORTEST = 0.22, 0.03, 0.06
"""Shares of all steps: until the first look back, how much sooner each next one comes, and the
fewest between two."""
ENOUGH = 0.75
"""Share of the steps since the last look back that must have risen."""
FORWARD = 0.75
"""Share of a step that follows the gradient; the rest goes on as the step before."""


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: ThreatModel,
    attack_steps: int,
    loss: Loss = "margin",
    random_start: bool = True,
    restarts: int = 1,
    target: Tensor | None = None,
    leave_solved: bool = False,
    final_check: bool = False,
    eight_bit: bool = False,
    precision: str = "auto",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the loss with steps that begin at two radii and halve where they no longer help.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        labels: ``(N,)``, 0 or 1: the class whose loss is climbed.
        threat: Ball (and pixel mask) the result stays inside.
        attack_steps: Gradients taken of each image.
        loss: ``margin`` or ``ce``, as :func:`fundus_ml.attacks.pgd` takes them.
        random_start: Start from a random point of the ball instead of the image.
        restarts: Searches, of which the worst point is kept.
        target: ``(N,)``, 0 or 1: towards this class instead of away from ``labels``.
        leave_solved: Images that are named wrongly, by their fp32 logit, are finished.
        final_check: As in :func:`fundus_ml.attacks.pgd`.
        eight_bit: Round the result to 8 bits, still inside the ball.
        precision: Precision of the passes: ``auto``, ``fp32`` or ``bf16``.
        generator: Draws the random start.

    Returns:
        ``(N, 3, H, W)`` perturbed images in [0, 1], detached: of each image the iterate with the
        highest margin.

    Raises:
        InputError: As :func:`fundus_ml.attacks.pgd`.

    Source:
        Croce & Hein 2020, arXiv:2003.01690. Their difference of logits ratio needs three classes;
        with one logit its numerator, the margin, is what is left. Whether a step rose is told by
        the margin, which orders points as cross-entropy does and does not saturate.
    """
    problem = Problem.make(
        model, images, labels, threat=threat, target=target, precision=precision, loss=loss
    )
    check_restarts(restarts, random_start=random_start)
    if attack_steps < 1:
        raise InputError(f"attack_steps={attack_steps}: must be at least 1")

    def run(part: Problem, start: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return _ascend(part, start, attack_steps, leave_solved=leave_solved)

    with frozen(model):
        return worst_of_restarts(
            problem.quickened() if attack_steps >= FEWEST_STEPS else problem,
            run,
            random_start=random_start,
            generator=generator,
            restarts=restarts,
            leave_solved=leave_solved,
            final_check=final_check,
            eight_bit=eight_bit,
        )


def looks_back(attack_steps: int) -> list[int]:
    """Steps after which the length is judged, the first at a good fifth of all, then ever sooner.

    >>> looks_back(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    span = max(1, int(FIRST * attack_steps))
    places = [span]
    while places[-1] < attack_steps:
        span = max(span - max(1, int(SHORTER * attack_steps)), 1, int(SHORTEST * attack_steps))
        places.append(places[-1] + span)
    return [place for place in places if place < attack_steps]


class _State:
    """Where each image that is still searched for stands."""

    def __init__(self, problem: Problem, start: Tensor) -> None:
        self.rows = torch.arange(len(problem), device=start.device)
        self.length = 2 * problem.threat.radius(start)
        self.x_adv = self.before = start
        self.margins, self.gradient = problem.climb(start)
        self.peak, self.peak_margins, self.peak_gradient = start, self.margins, self.gradient
        self.rises = torch.zeros_like(self.margins)
        self.length_then, self.peak_then = self.length, self.margins

    def keep(self, going: Tensor) -> None:
        """Forget the images that are not at ``going``."""
        for name, value in vars(self).items():
            setattr(self, name, value[going])


def _ascend(
    problem: Problem, start: Tensor, attack_steps: int, *, leave_solved: bool
) -> tuple[Tensor, Tensor]:
    state = _State(problem, start)
    best = Best(start, state.margins)
    judged, last_look = set(looks_back(attack_steps)), 0
    for step in range(1, attack_steps + 1):
        if leave_solved:
            solved = problem.solved(state.x_adv, state.margins)
            if bool(solved.any()):
                rows = state.rows[solved]
                best.x_adv[rows], best.margins[rows] = state.x_adv[solved], torch.inf
                going = (~solved).nonzero().squeeze(1)
                problem = problem.of(going)
                state.keep(going)
                if not len(going):
                    break
        _step(problem, state, first=step == 1, last=step == attack_steps)
        best.offer(state.x_adv, state.margins, state.rows)
        if step in judged:
            _look_back(state, step - last_look)
            last_look = step
    return best.x_adv, best.margins


def _step(problem: Problem, state: _State, *, first: bool, last: bool) -> None:
    threat, images = problem.threat, problem.images
    x_adv = threat.project(images, state.x_adv + state.length * threat.step(state.gradient))
    if not first:
        onward = state.x_adv + FORWARD * (x_adv - state.x_adv)
        onward += (1 - FORWARD) * (state.x_adv - state.before)
        x_adv = threat.project(images, onward)
    former = state.margins
    state.before, state.x_adv = state.x_adv, x_adv
    if last:
        state.margins = problem.margins(x_adv)
        return
    state.margins, state.gradient = problem.climb(x_adv)
    state.rises = state.rises + (state.margins > former)
    higher = state.margins > state.peak_margins
    state.peak, state.peak_gradient = (
        torch.where(higher.view(-1, 1, 1, 1), new, old)
        for new, old in ((x_adv, state.peak), (state.gradient, state.peak_gradient))
    )
    state.peak_margins = torch.where(higher, state.margins, state.peak_margins)


def _look_back(state: _State, span: int) -> None:
    """Halve the step, and go back to the peak, where the last ``span`` steps did not help."""
    idle = (state.length == state.length_then).flatten() & (state.peak_margins == state.peak_then)
    stuck = (state.rises < ENOUGH * span) | idle
    state.length_then, state.peak_then = state.length, state.peak_margins
    there = stuck.view(-1, 1, 1, 1)
    state.length = torch.where(there, state.length / 2, state.length)
    state.x_adv = torch.where(there, state.peak, state.x_adv)
    state.gradient = torch.where(there, state.peak_gradient, state.gradient)
    state.margins = torch.where(stuck, state.peak_margins, state.margins)
    state.rises = torch.zeros_like(state.rises)
