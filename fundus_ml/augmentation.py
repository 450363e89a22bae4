"""Provisional; another version of this file is under way."""

import torch
from torch import Tensor

AUGMENTATIONS = ("none", "flip", "geometry", "full")


def augment(
    images: Tensor,
    augmentation: str,
    *,
    generator: torch.Generator,
    first: int = 0,
    of: int | None = None,
) -> Tensor:
    """Flip only."""
    if augmentation == "none":
        return images
    count = len(images) if of is None else of
    chosen = torch.rand(count, generator=generator)[first : first + len(images)] < 0.5
    return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
