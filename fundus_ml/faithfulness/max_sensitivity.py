"""Max-sensitivity: how far a map moves when its image hardly does."""

import torch
from torch import Tensor

from fundus_ml.faithfulness.explained import Explain, Explained, explained_again


def max_sensitivity(
    explained: Explained, explain: Explain, *, radius: float, draws: int, seed: int
) -> Tensor:
    """Take the largest relative change of the map over noisy copies of the image.

    Every image meets the same noise, so that a batch is scored as its images alone.

    Args:
        explained: N images and their maps.
        explain: Makes maps of noisy images with the network as it was given.
        radius: Half-width of the uniform noise of every value; results are clipped to [0, 1].
        draws: Noisy copies.
        seed: Seed of the noise.

    Returns:
        ``(N,)`` largest ‖map of the copy - map‖ / ‖map‖ (Euclidean); NaN for a map of zeros.

    Raises:
        InputError: ``explain`` gives no finite ``(n, H, W)`` maps.

    Source:
        Yeh et al. 2019, arXiv:1901.09392, definition 3.1, by Monte Carlo and relative to the map's
        length.
    """
    generator = torch.Generator().manual_seed(seed)
    maps, images = explained.attributions, explained.images
    length = maps.flatten(1).norm(dim=1)
    furthest = torch.zeros_like(length)
    for _ in range(draws):
        noise = torch.rand(images.shape[1:], generator=generator).to(images.device)
        noisy = (images + radius * (2 * noise - 1)).clamp(0, 1)
        again = explained_again(explain, explained.given, noisy, batch_size=explained.batch_size)
        furthest = torch.maximum(furthest, (again - maps).flatten(1).norm(dim=1))
    return torch.where(length > 0, furthest / length, torch.nan)
