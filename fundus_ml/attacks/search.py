"""What every attack knows of the images it changes, and what it asks of the network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from fundus_ml.attacks.folding import folded_where_equal
from fundus_ml.attacks.options import LOSSES, Loss
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Images that are to be changed until the network says something else.

    The *margin* of an image is its logit times the way it should go: above 0 the image is solved,
    the network names the other class. It rises and falls with cross-entropy, and with the
    difference of two logits.

    Attributes:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; frozen by the caller.
        images: ``(N, 3, H, W)`` float32 in [0, 1], detached.
        aim: ``(N,)``, +1 where the logit should rise and -1 where it should fall.
        threat: Ball around each image.
        precision: Precision of the passes: ``fp32``, ``bf16`` or ``fp16``.
        loss: Whose gradient is climbed. ``margin`` never vanishes; ``ce`` does in float32 where
            the network is sure (a logit beyond 100, or 17 where it is to be strengthened).
        enhance: Whether ``ce`` is descended towards a target rather than climbed off the label.
        quick: The same network made to compute faster, for passes that search.
    """

    model: nn.Module
    images: Tensor
    aim: Tensor
    threat: ThreatModel
    precision: str
    loss: Loss = "margin"
    enhance: bool = False
    quick: nn.Module | None = None

    @classmethod
    def make(
        cls,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        threat: ThreatModel,
        target: Tensor | None,
        precision: str,
        loss: Loss = "margin",
    ) -> "Problem":
        """Check what an attack was given and bring it into one form.

        ``precision`` may be ``auto``, as :func:`fundus_ml.models.measured_precision.resolved` reads
        it.

        Raises:
            InputError: Shapes do not match, ``images`` leave [0, 1], a label is not 0 or 1, or
                there is no such ``loss`` or ``precision``.
        """
        if loss not in LOSSES:
            raise InputError(f"loss={loss}: allowed: {', '.join(LOSSES)}")
        _check(images, labels, target)
        threat.check_fits(images)
        aim = 1 - 2 * labels.to(images) if target is None else 2 * target.to(images) - 1
        return cls(
            model=model,
            images=images.detach(),
            aim=aim,
            threat=threat,
            precision=resolved(model, images, precision),
            loss=loss,
            enhance=target is not None,
        )

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def of(self, rows: Tensor) -> "Problem":
        """Keep the images at ``rows``."""
        return replace(
            self, images=self.images[rows], aim=self.aim[rows], threat=self.threat.of(rows)
        )

    def quickened(self) -> "Problem":
        """Fold the network, which must be frozen already, for many passes that search.

        Where the folded network scores the first image otherwise in fp32, the search keeps the
        network itself.
        """
        quick = folded_where_equal(self.model, self.images)
        return self if quick is self.model else replace(self, quick=quick)

    def margins(self, x_adv: Tensor, *, exact: bool = False) -> Tensor:
        """Score points without a gradient; ``exact`` by the network itself, in fp32."""
        with torch.no_grad():
            return self._margins(x_adv, exact=exact)

    def climb(self, x_adv: Tensor) -> tuple[Tensor, Tensor]:
        """Score points: margins ``(N,)``, and which way the loss rises, ``(N, 3, H, W)``."""
        x_adv = x_adv.detach().requires_grad_()
        margins = self._margins(x_adv)
        if self.loss == "margin":
            loss = margins
        else:
            loss = -softplus(-margins) if self.enhance else softplus(margins)
        (gradient,) = torch.autograd.grad(loss.sum(), x_adv)
        return margins.detach(), gradient

    def solved(self, x_adv: Tensor, margins: Tensor) -> Tensor:
        """Say which images are solved, by the network itself in fp32: ``(N,)`` booleans."""
        solved = margins > 0
        exact = self.precision == "fp32" and self.quick is None
        if not exact and bool(solved.any()):
            rows = solved.nonzero().squeeze(1)
            solved[rows] = self.of(rows).margins(x_adv[rows], exact=True) > 0
        return solved

    def _margins(self, x_adv: Tensor, *, exact: bool = False) -> Tensor:
        model = self.model if exact or self.quick is None else self.quick
        with autocast("fp32" if exact else self.precision, x_adv.device):
            logit: Tensor = model(x_adv)
        return self.aim * logit.to(self.aim)


class Best:
    """The point with the highest margin found for each image.

    Args:
        x_adv: ``(N, 3, H, W)`` points to begin with.
        margins: ``(N,)``, -inf where any other point is better.
    """

    def __init__(self, x_adv: Tensor, margins: Tensor) -> None:
        self.x_adv, self.margins = x_adv.clone(), margins.clone()

    def offer(self, x_adv: Tensor, margins: Tensor, rows: Tensor | None = None) -> None:
        """Take what is no worse; of equals, as bf16 makes them, the later wins.

        Args:
            x_adv: ``(n, 3, H, W)``.
            margins: ``(n,)``.
            rows: ``(n,)`` which images they belong to, each at most once; all, in order, if None.
        """
        held = self.margins if rows is None else self.margins[rows]
        better = (margins >= held).nonzero().squeeze(1)
        if not len(better):
            return
        places = better if rows is None else rows[better]
        self.x_adv[places] = x_adv.detach()[better]
        self.margins[places] = margins[better]


def worst_of_restarts(
    problem: Problem,
    run: Callable[[Problem, Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    start: Tensor | None = None,
    random_start: bool = False,
    generator: torch.Generator | None = None,
    restarts: int,
    leave_solved: bool,
    final_check: bool,
    eight_bit: bool,
) -> Tensor:
    """Search several times and keep, of each image, the worst point found.

    Args:
        problem: All images.
        run: Searches once: points and their margins, for images, where to start, and their rows
            among all.
        start: ``(N, 3, H, W)`` points of the balls to start from instead of the images.
        random_start: Start at random points of the ball instead of the images.
        generator: Draws them.
        restarts: How often.
        leave_solved: Search again only where the image is not solved.
        final_check: Score what was found in fp32, and compare with where the search started.
        eight_bit: Round what was found to 8 bits, inside the ball.

    Returns:
        ``(N, 3, H, W)``, detached.
    """
    images = problem.images
    begun = images if start is None else start
    margins = torch.full_like(problem.aim, -torch.inf)
    if final_check:
        margins = problem.margins(begun, exact=True)
    best, rows = Best(begun, margins), torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        if leave_solved:
            rows = rows[best.margins[rows] <= 0]
            if not len(rows):
                break
        part = problem if len(rows) == len(problem) else problem.of(rows)
        first = begun[rows]
        if random_start:
            # Drawn for all images: those that left do not move the others' starts.
            first = problem.threat.random_start(images, generator)[rows]
        x_adv, margins = run(part, first, rows)
        if eight_bit:
            x_adv = part.threat.to_8bit(part.images, x_adv)
        if final_check:
            margins = part.margins(x_adv, exact=True)
        best.offer(x_adv, margins, rows)
    return best.x_adv


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


def check_restarts(restarts: int, *, random_start: bool) -> None:
    """Refuse restarts that would all be the same.

    Raises:
        InputError: ``restarts`` is below 1, or above it where each begins at the image.
    """
    if restarts < 1:
        raise InputError(f"restarts={restarts}: must be at least 1")
    if restarts > 1 and not random_start:
        raise InputError(f"restarts={restarts}: need random_start, without it all are the same")


def check_images(images: Tensor) -> None:
    """Refuse what are no pictures.

    Raises:
        InputError: The shape is not ``(N, 3, H, W)``, or a value leaves [0, 1].
    """
    if images.ndim != 4 or images.shape[1] != 3:  # noqa: PLR2004 (N, 3, H, W)
        raise InputError(f"images: shape must be (N, 3, H, W), not {tuple(images.shape)}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise InputError(
            f"images: pixels must lie in [0, 1], found {images.min():.3g} to {images.max():.3g}"
        )


def _check(images: Tensor, labels: Tensor, target: Tensor | None) -> None:
    check_images(images)
    for name, classes in (("labels", labels), ("target", target)):
        if classes is None:
            continue
        if classes.shape != images.shape[:1]:
            raise InputError(f"{name}: shape must be ({len(images)},), not {tuple(classes.shape)}")
        if not bool(((classes == 0) | (classes == 1)).all()):
            raise InputError(f"{name}: each must be 0 or 1")
