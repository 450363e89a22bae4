"""Gradient steps inside a small ball, right for models with one logit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError
from fundus_ml.precision import autocast

CONSTRAINTS = ("l2", "linf")
StepSize = float | Literal["auto"]
STEP_RATIO = 2.5
"""With ``auto`` the steps add up to this many radii, the field's rule 2.5·eps/attack_steps."""
SMALLEST_NORM = 1e-10
"""Added to a gradient's length before dividing, as `robustness` does."""


@dataclass(frozen=True, kw_only=True)
class ThreatModel:
    """The ball a perturbed image stays in.

    Attributes:
        constraint: ``l2`` (length of the change over all 3·H·W values) or ``linf`` (largest
            change of one value).
        eps: Radius, in units of pixels in [0, 1].
        mask: ``(H, W)`` or ``(N, 1, H, W)`` of 0 and 1, on any device: where the image may
            change; None is everywhere.

    Raises:
        InputError: A field is outside its range.
    """

    constraint: str
    eps: float
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.constraint not in CONSTRAINTS:
            raise InputError(f"constraint={self.constraint}: allowed: {', '.join(CONSTRAINTS)}")
        if not 0 <= self.eps < float("inf"):
            raise InputError(f"eps={self.eps}: must be a finite number, 0 or more")
        if self.mask is None:
            return
        if self.mask.ndim != 2 and (self.mask.ndim != 4 or self.mask.shape[1] != 1):  # noqa: PLR2004
            raise InputError(
                f"mask: shape must be (H, W) or (N, 1, H, W), not {tuple(self.mask.shape)}"
            )
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise InputError("mask: each must be 0 or 1")

    def step(self, gradient: Tensor) -> Tensor:
        """Turn ``(N, 3, H, W)`` gradients into the steepest change of length one."""
        allowed = self._masked(gradient)
        if self.constraint == "linf":
            return allowed.sign()
        return allowed / (lengths(allowed) + SMALLEST_NORM)

    def project(self, images: Tensor, x_adv: Tensor) -> Tensor:
        """Move ``x_adv`` to the ball around ``images``, then into [0, 1]; both ``(N, 3, H, W)``."""
        delta = x_adv - images
        if self.constraint == "linf":
            delta = delta.clamp(-self.eps, self.eps)
        else:
            norm = lengths(delta)
            delta = torch.where(norm > self.eps, delta * (self.eps / norm), delta)
        return (images + delta).clamp(0, 1)

    def random_start(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw a start: on the sphere for ``l2``, uniform in the ball for ``linf``.

        Drawn where ``generator`` lives, so that a CPU generator gives a GPU the same start.
        """
        device = images.device if generator is None else generator.device
        noise = torch.empty_like(images, device=device)
        if self.constraint == "linf":
            noise = noise.uniform_(-self.eps, self.eps, generator=generator).to(images.device)
            return self.project(images, images + self._masked(noise))
        noise = noise.normal_(generator=generator).to(images.device)
        return self.project(images, images + self.eps * self.step(noise))

    def _masked(self, change: Tensor) -> Tensor:
        return change if self.mask is None else change * self.mask.to(change)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: ThreatModel,
    step_size: float,
    attack_steps: int,
    random_start: bool = False,
    keep_best: bool = True,
    target: Tensor | None = None,
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
        step_size: Length of one step, in the unit of ``threat.eps``.
        attack_steps: Number of steps.
        random_start: Start from a random point of the ball instead of the image.
        keep_best: Return the iterate with the best loss of each image, not the last.
        target: ``(N,)``, 0 or 1: descend towards this class instead of away from
            ``labels``.
        precision: Of the forward and backward passes: ``auto``, ``fp32`` or ``bf16``.
        generator: Draws the random start.

    Returns:
        ``(N, 3, H, W)`` perturbed images in [0, 1], detached.

    Raises:
        InputError: Shapes do not match, ``images`` leave [0, 1], a label is not 0 or 1,
            ``step_size`` or ``attack_steps`` is outside its range.

    Source:
        Madry et al. 2018, arXiv:1706.06083, with the step, projection and best-iterate rule of
        the `robustness` library. Ours climbs the signed logit: with one logit that is the
        direction and the order of cross-entropy, whose gradient vanishes in float32 where the
        network is sure (a logit beyond 17).
    """
    _check(images, labels, target, step_size=step_size, attack_steps=attack_steps)
    _check_mask(threat.mask, images)
    images = images.detach()
    aim = 1 - 2 * labels.to(images) if target is None else 2 * target.to(images) - 1
    x_adv = threat.random_start(images, generator) if random_start else images.clone()
    best, best_loss = x_adv, torch.full_like(aim, -torch.inf)
    with frozen(model):
        for _ in range(attack_steps):
            loss, gradient = _loss_and_gradient(model, x_adv, aim, precision)
            best, best_loss = _better(best, best_loss, x_adv, loss)
            x_adv = threat.project(images, x_adv + step_size * threat.step(gradient))
        if not keep_best:
            return x_adv
        with torch.no_grad():
            loss = _loss(model, x_adv, aim, precision)
        return _better(best, best_loss, x_adv, loss)[0]


def step_length(step_size: StepSize, *, eps: float, attack_steps: int) -> float:
    """Length of one step in the unit of ``eps``; ``auto`` is 2.5·eps/attack_steps.

    Raises:
        InputError: ``attack_steps`` is below 1, or ``step_size`` not a finite number above 0.
    """
    if attack_steps < 1:
        raise InputError(f"attack_steps={attack_steps}: must be at least 1")
    if step_size == "auto":
        return STEP_RATIO * eps / attack_steps
    if not 0 < step_size < float("inf"):
        raise InputError(f"step_size={step_size}: must be auto or a finite number above 0")
    return float(step_size)


def lengths(delta: Tensor) -> Tensor:
    """Euclidean length of each image's change, ``(N, 1, 1, 1)``."""
    norm: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True)
    return norm


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Hold ``model`` in evaluation mode with no parameter gradients, then restore each module.

    Each module's own mode is remembered, so that a frozen BatchNorm comes back frozen.
    """
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in trainable:
            parameter.requires_grad_()


def _loss(model: nn.Module, x_adv: Tensor, aim: Tensor, precision: str) -> Tensor:
    """The logit times where it should go: +1 up, -1 down."""
    with autocast(precision, x_adv.device):
        logit: Tensor = model(x_adv)
    return aim * logit.to(aim)


def _loss_and_gradient(
    model: nn.Module, x_adv: Tensor, aim: Tensor, precision: str
) -> tuple[Tensor, Tensor]:
    x_adv = x_adv.detach().requires_grad_()
    loss = _loss(model, x_adv, aim, precision)
    (gradient,) = torch.autograd.grad(loss.sum(), x_adv)
    return loss.detach(), gradient


def _better(best: Tensor, best_loss: Tensor, x_adv: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    improved = loss >= best_loss  # bf16 ties small gains: the later iterate wins
    return (
        torch.where(improved.view(-1, 1, 1, 1), x_adv, best).detach(),
        torch.where(improved, loss, best_loss),
    )


def _check(
    images: Tensor, labels: Tensor, target: Tensor | None, *, step_size: float, attack_steps: int
) -> None:
    if images.ndim != 4 or images.shape[1] != 3:  # noqa: PLR2004 (N, 3, H, W)
        raise InputError(f"images: shape must be (N, 3, H, W), not {tuple(images.shape)}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise InputError(
            f"images: pixels must lie in [0, 1], found {images.min():.3g} to {images.max():.3g}"
        )
    for name, classes in (("labels", labels), ("target", target)):
        if classes is None:
            continue
        if classes.shape != images.shape[:1]:
            raise InputError(f"{name}: shape must be ({len(images)},), not {tuple(classes.shape)}")
        if not bool(((classes == 0) | (classes == 1)).all()):
            raise InputError(f"{name}: each must be 0 or 1")
    if not 0 <= step_size < float("inf"):
        raise InputError(f"step_size={step_size}: must be a finite number, 0 or more")
    if attack_steps < 0:
        raise InputError(f"attack_steps={attack_steps}: must be 0 or more")


def _check_mask(mask: Tensor | None, images: Tensor) -> None:
    if mask is None:
        return
    square = mask.shape[-2:] == images.shape[-2:]
    if not square or (mask.ndim > 2 and len(mask) not in (1, len(images))):  # noqa: PLR2004
        raise InputError(
            f"mask: shape {tuple(mask.shape)} does not fit images {tuple(images.shape)}"
        )
