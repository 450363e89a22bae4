"""PGD by the library `robustness` (Engstrom et al. 2019), on one-logit models, on any device."""

import warnings

import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import two_logits
from fundus_ml.models.precision import autocast

with warnings.catch_warnings():
    # Its docstrings hold escapes such as "\\m", deprecated, which the first compilation reports.
    warnings.simplefilter("ignore", DeprecationWarning)
    from robustness.attacker import Attacker

CONSTRAINTS = {"l2": "2", "linf": "inf"}
"""What the library calls our balls."""


class _StaysHere(Tensor):
    """A tensor whose ``.cuda()`` is itself: the library asks for it, GPU or not."""

    def cuda(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)


class _Unnormalised(nn.Module):
    """Stands for the library's dataset, whose mean and std it asks for and does not use here."""

    mean, std = torch.zeros(3), torch.ones(3)


class _Scored(nn.Module):
    """The model in the precision of the attack, with gradients in the layout the library needs."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            # The library flattens gradients by ``view``, which fails on channels-last ones.
            images.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        with autocast(self.precision, images.device):
            logit: Tensor = self.model(images)
        return logit.to(images)


def robustness_pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: ThreatModel,
    step_size: float | Tensor,
    attack_steps: int,
    random_start: bool = False,
    restarts: int = 1,
    keep_best: bool = True,
    momentum: float = 0.0,
    target: Tensor | None = None,
    precision: str = "auto",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Have the library climb the cross-entropy of ``[-z/2, z/2]`` inside the ball.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; frozen meanwhile, given back as it was.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        labels: ``(N,)``, 0 or 1: the class whose loss is climbed.
        threat: Ball the result stays inside; one radius, no mask.
        step_size: Length of one step, one for all images.
        attack_steps: Number of steps.
        random_start: Start from the point that :func:`fundus_ml.attacks.pgd` would start from.
        restarts: 1.
        keep_best: Return the iterate with the best loss of each image, not the last.
        momentum: 0.
        target: ``(N,)``, 0 or 1: descend towards this class instead of away from ``labels``.
        precision: Precision of the forward and backward passes: ``auto``, ``fp32`` or ``bf16``.
        generator: Draws the random start; the library's own would move the global generator.

    Returns:
        ``(N, 3, H, W)`` perturbed images in [0, 1], detached.

    Raises:
        InputError: The library cannot do what is asked, or as :func:`fundus_ml.attacks.pgd`.

    Source:
        Madry et al. 2018, arXiv:1706.06083, as in `robustness` 1.2.1. Its gradient is that of the
        cross-entropy in float32, which is exactly 0 where the network is sure.
    """
    problem = Problem.make(model, images, labels, threat=threat, target=target, precision=precision)
    _refuse(threat, step_size, attack_steps, restarts=restarts, momentum=momentum)
    images = problem.images
    centre = images.contiguous()
    start = threat.random_start(images, generator).contiguous() if random_start else centre
    towards = labels if target is None else target
    with frozen(model):
        attacker = Attacker(two_logits(_Scored(model, problem.precision)), _Unnormalised())
        x_adv: Tensor = attacker(
            start,
            towards.to(images.device).long(),
            orig_input=centre.as_subclass(_StaysHere),
            constraint=CONSTRAINTS[threat.constraint],
            eps=threat.eps,
            step_size=step_size,
            iterations=attack_steps,
            targeted=target is not None,
            use_best=keep_best,
            should_normalize=False,
        )
    return torch.empty_like(images).copy_(x_adv.detach())


def _refuse(
    threat: ThreatModel,
    step_size: float | Tensor,
    attack_steps: int,
    *,
    restarts: int,
    momentum: float,
) -> None:
    """Refuse what the library has no word for, or does otherwise than it says.

    Raises:
        InputError: It is asked for.
    """
    lacking = {
        "mask": (threat.mask is not None, "no mask"),
        "eps": (isinstance(threat.eps, Tensor), "one radius for all images"),
        "step_size": (isinstance(step_size, Tensor), "one step for all images"),
        f"momentum={momentum}": (momentum != 0, "no momentum"),
        f"restarts={restarts}": (restarts != 1, "one start: of several it does not keep the worst"),
    }
    for name, (asked, has) in lacking.items():
        if asked:
            raise InputError(f"{name}: attack_engine=robustness has {has}; native does it")
    if attack_steps < 0:
        raise InputError(f"attack_steps={attack_steps}: must be 0 or more")
    if not 0 <= step_size < float("inf"):
        raise InputError(f"step_size={step_size}: must be a finite number, 0 or more")
