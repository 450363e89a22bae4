"""One gradient of the model itself as a change: what a modulation must show more than."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images

Floats = NDArray[np.float32]

GRADIENT, SMOOTHGRAD = "gradient squared", "smoothgrad squared"
"""Conditions: the energy of the change is the square of that saliency map."""
NOISY_PASSES = 16
"""Gradients behind a SmoothGrad map; Hooker et al. average 15."""
NOISE = 0.15
"""Standard deviation of the noise, in ranges of the eye's pixels, as Hooker et al."""
ANYWHERE = ThreatModel(constraint="linf", eps=1.0)


def saliency_directions(
    saliency: str,
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    *,
    seed: int,
    batch_size: int,
) -> Floats:
    """Point each eye towards its target by the gradient at the eye as it is.

    Args:
        saliency: ``gradient squared``, one backward pass, or ``smoothgrad squared``: the root of
            the mean squared gradient over noisy copies, with the sign of their mean gradient.
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        target: ``(N,)`` float32, 0 or 1, the class to push towards.
        seed: Seed of the noise.
        batch_size: Eyes per pass.

    Returns:
        ``(N, H, W, 3)`` float32 whose square is the saliency map, largest value 1; all 0 where the
        gradient is.

    Raises:
        InputError: No such saliency.

    Source:
        Simonyan et al. 2014, arXiv:1312.6034 (gradient); Hooker et al. 2019, arXiv:1806.10758
        (SmoothGrad-squared, after Smilkov et al. 2017, arXiv:1706.03825).
    """
    if saliency not in SALIENCY:
        raise InputError(f"saliency={saliency}: allowed: {', '.join(SALIENCY)}")
    device = next(model.parameters()).device
    directions = np.empty(pixels.shape, np.float32)
    with frozen(model):
        for first in range(0, len(pixels), batch_size):
            rows = slice(first, first + batch_size)
            images = to_images(pixels[rows], device)
            towards = torch.from_numpy(target[rows]).to(device)
            problem = Problem.make(
                model, images, towards, threat=ANYWHERE, target=towards, precision="fp32"
            )
            generators = [
                np.random.default_rng((seed, first + place)) for place in range(len(problem))
            ]
            found = SALIENCY[saliency](problem, generators)
            largest = found.abs().amax((1, 2, 3), keepdim=True)
            unit = torch.where(largest > 0, found / largest, 0.0)
            directions[rows] = unit.permute(0, 2, 3, 1).cpu().numpy()
    return directions


def with_noise(
    images: Tensor, generators: Sequence[np.random.Generator], *, noise: float
) -> Tensor:
    """Add normal noise to each image.

    Args:
        images: ``(N, 3, H, W)``.
        generators: N, one per image; the same one again goes on drawing.
        noise: Standard deviation, in ranges of the image's pixels.

    Returns:
        ``(N, 3, H, W)``, which may leave [0, 1].
    """
    spread = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    drawn = [each.standard_normal(images.shape[1:], np.float32) for each in generators]
    return images + spread * torch.from_numpy(np.stack(drawn)).to(images)


def _gradient(problem: Problem, _generators: list[np.random.Generator]) -> Tensor:
    return problem.climb(problem.images)[1]


def _smoothgrad(problem: Problem, generators: list[np.random.Generator]) -> Tensor:
    mean, squared = torch.zeros_like(problem.images), torch.zeros_like(problem.images)
    for _ in range(NOISY_PASSES):
        gradient = problem.climb(with_noise(problem.images, generators, noise=NOISE))[1]
        mean += gradient / NOISY_PASSES
        squared += gradient.square() / NOISY_PASSES
    return mean.sign() * squared.sqrt()


SALIENCY: Mapping[str, Callable[[Problem, list[np.random.Generator]], Tensor]] = MappingProxyType(
    {GRADIENT: _gradient, SMOOTHGRAD: _smoothgrad}
)
"""Signed root of each saliency map, ``(N, 3, H, W)``, by condition."""
