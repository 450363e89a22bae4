"""A modulation as an attribution: where an eye must change to look like either class."""

import math

import torch
from torch import Tensor

from fundus_ml.attacks.projected_gradient import pgd
from fundus_ml.attacks.step_sizes import step_length
from fundus_ml.attacks.threat_models import LEVELS, ThreatModel
from fundus_ml.attribution.explained_logit import ExplainedLogit
from fundus_ml.attribution.options import AttributionOptions


def modulation(explained: ExplainedLogit, images: Tensor, options: AttributionOptions) -> Tensor:
    """Push each eye towards both classes and map the energy of half the difference.

    With ``d`` half of (change towards the second class less change towards the first), a pixel's
    value is the energy of ``d``, its square summed over RGB, in squared grey levels of [0, 1]. It
    is positive where the change raises the logit by the gradient at the eye, and negative where it
    does not, so that it acts with changes elsewhere alone. A change says what would have to differ,
    so the sign does not say which class the eye shows there.

    Args:
        explained: Whose logit.
        images: ``(N, 3, H, W)`` in [0, 1].
        options: Budget and steps.

    Returns:
        ``(N, H, W)``. The scale of the logit does not matter.

    Source:
        Gaziv, Lee, DiCarlo 2023, arXiv:2308.06887 (the change). The signed energy of both
        directions is ours.
    """
    values = math.prod(images.shape[1:])
    eps = options.modulation_rms / LEVELS * math.sqrt(values)
    threat = ThreatModel(constraint="l2", eps=eps)
    step = step_length("auto", eps=eps, attack_steps=options.modulation_steps)
    pushed = []
    for side in (0.0, 1.0):
        target = torch.full((len(images),), side, device=images.device)
        pushed.append(
            pgd(
                explained.quick,
                images,
                target,
                threat=threat,
                step_size=step,
                attack_steps=options.modulation_steps,
                target=target,
                keep_best=False,  # steps that shorten end where it is highest
                decay="linear",
                precision="fp32",
            )
        )
    half = (pushed[1] - pushed[0]) / 2
    raises = (explained.gradient(images) * half).sum(1)
    return half.square().sum(1) * torch.where(raises < 0, -1.0, 1.0)
