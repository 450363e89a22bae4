"""How far the landmark network's maps are from where the parts of an eye lie."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from fundus_ml.imaging.regions.landmark_network import STRIDE, LandmarkMaps

BLURRED = 1.2
"""Standard deviation of the place that is asked for, cells."""
MASK_WEIGHT = 8.0
"""Weight of the masks' cross-entropy, most of whose cells are easy."""
POINT_WEIGHT = 0.3


def landmark_loss(
    maps: LandmarkMaps, disc: Tensor, cup: Tensor, fovea: Tensor
) -> dict[str, Tensor]:
    """Compare maps with the truth of a batch; what is not known costs nothing.

    Args:
        maps: Output of the network.
        disc: ``(N, 5)`` centre and second moments, pixels; NaN: unknown, inf: not to be seen.
        cup: ``(N, 5)`` likewise.
        fovea: ``(N, 2)`` column and row likewise.

    Returns:
        Scalars by name: soft Dice and cross-entropy of both masks, cross-entropy of both points.
    """
    shape = maps.disc.shape[1], maps.disc.shape[2]
    return {
        "disc": _mask_loss(maps.disc, disc),
        "cup": _mask_loss(maps.cup, cup),
        "centre": POINT_WEIGHT * _point_loss(maps.points[:, 0], disc[:, :2], shape),
        "fovea": POINT_WEIGHT * _point_loss(maps.points[:, 1], fovea, shape),
    }


def drawn(ellipses: Tensor, shape: tuple[int, int]) -> Tensor:
    """Share of every cell that lies in an ellipse.

    Args:
        ellipses: ``(N, 5)`` finite numbers: centre and second moments, pixels.
        shape: ``(h, w)`` cells.

    Returns:
        ``(N, h, w)`` from 0 to 1; near the border about the share, exact far from it.
    """
    across, down = _offsets(ellipses[:, :2], shape)
    xx, xy, yy = (ellipses[:, place, None, None] for place in (2, 3, 4))
    determinant = (xx * yy - xy**2).clamp(min=1e-6)
    squared = (yy * across**2 - 2 * xy * across * down + xx * down**2) / (4 * determinant)
    radius = 2 * determinant**0.25
    return (0.5 + (1 - squared.clamp(min=1e-12).sqrt()) * radius / STRIDE).clamp(0, 1)


def _offsets(centres: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Columns and rows of the cells' middles from each centre, pixels."""
    down, across = (torch.arange(n) * STRIDE + (STRIDE - 1) / 2 for n in shape)
    return (
        across[None, None] - centres[:, 0, None, None],
        down[None, :, None] - centres[:, 1, None, None],
    )


def _mask_loss(logits: Tensor, ellipses: Tensor) -> Tensor:
    known = ~ellipses.isnan().any(1)
    if not known.any():
        return logits.sum() * 0
    logits, ellipses = logits[known], ellipses[known]
    none = ellipses.isinf().any(1)
    wanted = drawn(torch.where(none[:, None], 1.0, ellipses), (logits.shape[1], logits.shape[2]))
    wanted = torch.where(none[:, None, None], 0.0, wanted)
    cross = binary_cross_entropy_with_logits(logits, wanted)
    share = logits.sigmoid()
    overlap = 2 * (share * wanted).sum((1, 2)) + 1
    dice = 1 - overlap / (share.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    return MASK_WEIGHT * cross + dice.mean()


def _point_loss(logits: Tensor, points: Tensor, shape: tuple[int, int]) -> Tensor:
    known = ~points.isnan().any(1)
    if not known.any():
        return logits.sum() * 0
    logits, points = logits[known], points[known]
    none = points.isinf().any(1)
    across, down = _offsets(torch.where(none[:, None], 0.0, points), shape)
    spread = BLURRED * STRIDE
    near = torch.exp(-(across**2 + down**2) / (2 * spread**2)).flatten(1)
    near = near / near.sum(1, keepdim=True).clamp(min=1e-6)
    near = torch.where(none[:, None], 0.0, near)
    wanted = torch.cat([near, none[:, None].float()], 1)
    return cross_entropy(logits, wanted)
