"""How far an image may be changed, and where."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fundus_ml.attacks.options import check_constraint, check_radius
from fundus_ml.errors import InputError

SMALLEST_NORM = 1e-10
"""Added to a gradient's length before dividing, as `robustness` does."""
LEVELS = 255
"""Steps between black and white of an 8-bit picture."""
SLACK = 1e-4
"""Share of one grey level that a pixel may be off 8 bits by rounding in float32."""


@dataclass(frozen=True, kw_only=True)
class ThreatModel:
    """The ball a perturbed image stays in.

    Attributes:
        constraint: ``l2`` (length of the change over all 3·H·W values) or ``linf`` (largest
            change of one value).
        eps: Radius, in units of pixels in [0, 1]; ``(N,)`` gives each image its own.
        mask: ``(H, W)`` or ``(N, 1, H, W)`` of 0 and 1, on any device: where the image may
            change; None is everywhere.

    Raises:
        InputError: A field is outside its range.
    """

    constraint: str
    eps: float | Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_constraint(self.constraint)
        if isinstance(self.eps, Tensor):
            if self.eps.ndim != 1:
                raise InputError(f"eps: shape must be (N,), not {tuple(self.eps.shape)}")
            wrong = self.eps[~(torch.isfinite(self.eps) & (self.eps >= 0))]
            if len(wrong):
                raise InputError(f"eps={float(wrong[0])}: must be a finite number, 0 or more")
        else:
            check_radius(self.eps)
        if self.mask is None:
            return
        if self.mask.ndim != 2 and (self.mask.ndim != 4 or self.mask.shape[1] != 1):  # noqa: PLR2004
            raise InputError(
                f"mask: shape must be (H, W) or (N, 1, H, W), not {tuple(self.mask.shape)}"
            )
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise InputError("mask: each must be 0 or 1")

    def check_fits(self, images: Tensor) -> None:
        """Refuse radii or a mask made for other images than ``(N, 3, H, W)``.

        Raises:
            InputError: They are.
        """
        if isinstance(self.eps, Tensor) and len(self.eps) != len(images):
            raise InputError(f"eps: {len(self.eps)} radii for {len(images)} images")
        if self.mask is None:
            return
        square = self.mask.shape[-2:] == images.shape[-2:]
        if not square or (self.mask.ndim > 2 and len(self.mask) not in (1, len(images))):  # noqa: PLR2004
            raise InputError(
                f"mask: shape {tuple(self.mask.shape)} does not fit images {tuple(images.shape)}"
            )

    def radius(self, images: Tensor) -> Tensor:
        """Radius of each image, ``(N, 1, 1, 1)``, where ``images`` are."""
        eps = torch.as_tensor(self.eps, dtype=images.dtype, device=images.device)
        return eps.expand(len(images)).view(-1, 1, 1, 1)

    def of(self, rows: Tensor) -> "ThreatModel":
        """Keep what belongs to the images at ``rows``."""
        eps, mask = self.eps, self.mask
        if isinstance(eps, Tensor):
            eps = eps[rows.to(eps.device)]
        if mask is not None and mask.ndim > 2 and len(mask) > 1:  # noqa: PLR2004 (one per image)
            mask = mask[rows.to(mask.device)]
        return replace(self, eps=eps, mask=mask)

    def step(self, gradient: Tensor) -> Tensor:
        """Turn ``(N, 3, H, W)`` gradients into the steepest change of length one."""
        allowed = self.masked(gradient)
        if self.constraint == "linf":
            return allowed.sign()
        return allowed / (lengths(allowed) + SMALLEST_NORM)

    def project(self, images: Tensor, x_adv: Tensor) -> Tensor:
        """Move ``x_adv`` to the ball around ``images``, then into [0, 1]; both ``(N, 3, H, W)``."""
        delta = x_adv - images
        radius = self.radius(images)
        if self.constraint == "linf":
            delta = torch.minimum(torch.maximum(delta, -radius), radius)
        else:
            norm = lengths(delta)
            delta *= torch.where(norm > radius, radius / norm, 1.0)
        return delta.add_(images).clamp_(0, 1)

    def random_start(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw a start: on the sphere for ``l2``, uniform in the ball for ``linf``.

        Drawn where ``generator`` lives, so that a CPU generator gives a GPU the same start.
        """
        device = images.device if generator is None else generator.device
        noise = torch.empty_like(images, device=device)
        radius = self.radius(images)
        if self.constraint == "linf":
            noise = noise.uniform_(-1, 1, generator=generator).to(images.device)
            return self.project(images, images + radius * self.masked(noise))
        noise = noise.normal_(generator=generator).to(images.device)
        return self.project(images, images + radius * self.step(noise))

    def to_8bit(self, images: Tensor, x_adv: Tensor) -> Tensor:
        """Round ``x_adv`` to 8 bits without leaving the ball.

        Every value takes the nearest level that is no further from the image than ``linf`` allows;
        where the rounded change is longer than ``l2`` allows, those values whose rounding
        lengthened it the least willingly, by the smallest part of a level, take the level before.

        Args:
            images: ``(N, 3, H, W)``, each value a level of 8 bits.
            x_adv: Inside the ball around them.

        Raises:
            InputError: ``images`` are no 8-bit pictures.
        """
        base = (images * LEVELS).round()
        if images.numel() and float((images * LEVELS - base).abs().max()) > SLACK:
            raise InputError("images: must be 8-bit pictures where the result is to be one")
        moved = (x_adv * LEVELS - base).abs()
        outward = moved.round()
        limit = self.radius(images) * LEVELS
        if self.constraint == "linf":
            outward = torch.minimum(outward, (limit + SLACK).floor())
        else:
            outward = _shortened(outward, moved, limit)
        return ((base + outward.copysign(x_adv * LEVELS - base)) / LEVELS).clamp_(0, 1)

    def masked(self, change: Tensor) -> Tensor:
        """Keep of ``(N, 3, H, W)`` what lies where the image may change."""
        return change if self.mask is None else change * self.mask.to(change)


def lengths(delta: Tensor) -> Tensor:
    """Euclidean length of each image's change, ``(N, 1, 1, 1)``."""
    norm: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True)
    return norm


def sizes(delta: Tensor, constraint: str) -> Tensor:
    """Size of each change in the unit of a budget of that constraint, ``(N,)``."""
    return lengths(delta).flatten() if constraint == "l2" else delta.abs().amax((1, 2, 3))


def _shortened(outward: Tensor, moved: Tensor, limit: Tensor) -> Tensor:
    """Take one level from as many values of each image as its length needs, the least moved first.

    Args:
        outward: ``(N, 3, H, W)`` whole levels of change, without sign.
        moved: The same before rounding.
        limit: ``(N, 1, 1, 1)`` longest change, in levels.
    """
    whole, part = outward.flatten(1), moved.flatten(1)
    excess = whole.square().sum(1, dtype=torch.float64) - limit.flatten().double().square()
    if not bool((excess > 0).any()):
        return outward
    raised = whole > part
    order = torch.where(raised, part - whole, torch.inf).argsort(1)
    saved = torch.where(raised, 2 * whole - 1, 0).gather(1, order).cumsum(1, dtype=torch.float64)
    before = torch.cat([torch.zeros_like(saved[:, :1]), saved[:, :-1]], dim=1)
    lowered = (before < excess[:, None]) & raised.gather(1, order)
    fewer = torch.zeros_like(whole).scatter_(1, order, lowered.to(whole))
    return (whole - fewer).view_as(outward)
