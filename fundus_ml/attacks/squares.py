"""Where a square lies in an image, and how a bump inside it is shaped."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fundus_ml.attacks.threat_models import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Region:
    """The bounding box of what may change in each image.

    Attributes:
        top: ``(N, 1, 1)`` whole numbers, as all: its first row.
        left: Its first column.
        height: Its rows.
        width: Its columns.
        pixels: How many pixels inside it may change.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    pixels: Tensor

    @classmethod
    def of_mask(cls, threat: ThreatModel, images: Tensor) -> "Region":
        """Find the box around the mask of each of ``(N, 3, H, W)`` images."""
        allowed = torch.ones_like(images[:, 0], dtype=torch.bool)
        if threat.mask is not None:
            mask = threat.mask.to(images.device)
            allowed &= (mask if mask.ndim == 2 else mask[:, 0]) > 0  # noqa: PLR2004 ((H, W))
        # Where nothing may change any square will do: the mask takes it back.
        allowed |= ~allowed.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
        top, height = _extent(allowed.any(dim=2))
        left, width = _extent(allowed.any(dim=1))
        pixels = allowed.sum((1, 2), keepdim=True)
        return cls(top=top, left=left, height=height, width=width, pixels=pixels)

    def of(self, rows: Tensor) -> "Region":
        """Keep what belongs to the images at ``rows``."""
        return Region(**{name: value[rows] for name, value in vars(self).items()})

    def rows(self, images: Tensor) -> Tensor:
        """Rows below the region's first, ``(N, H, 1)``."""
        return torch.arange(images.shape[2], device=images.device).view(1, -1, 1) - self.top

    def columns(self, images: Tensor) -> Tensor:
        """Columns right of the region's first, ``(N, 1, W)``."""
        return torch.arange(images.shape[3], device=images.device).view(1, 1, -1) - self.left

    def holds(self, down: Tensor, right: Tensor) -> Tensor:
        """Say of rows and columns, counted from the region's first, which are in it."""
        return (down >= 0) & (down < self.height) & (right >= 0) & (right < self.width)

    def side(self, share: float) -> Tensor:
        """Side of a square of ``share`` of the pixels that may change, ``(N, 1, 1)``."""
        side = (share * self.pixels).sqrt().round().long().clamp(min=1)
        return side.minimum(self.height).minimum(self.width)

    def square(self, images: Tensor, side: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns from the first corner of squares that ``(N, 2)`` draws place."""
        top, left = draws.view(-1, 2, 1, 1).unbind(1)
        down = self.rows(images) - (top * (self.height - side + 1)).long()
        return down, self.columns(images) - (left * (self.width - side + 1)).long()


def inside(down: Tensor, right: Tensor, side: Tensor) -> Tensor:
    """Say of rows and columns, counted from a square's corner, which are in it: ``(N, H, W)``."""
    return (down >= 0) & (down < side) & (right >= 0) & (right < side)


def bump(down: Tensor, right: Tensor, side: Tensor, *, centre: tuple[Tensor, Tensor]) -> Tensor:
    """Heights that fall in rings around a centre, those of a square of ``side``.

    The ring at distance d has height 1/(d+1)² + … + 1/(n+1)², with n half the side.

    Args:
        down: ``(N, H, 1)`` or ``(N, H, W)`` rows from the square's corner.
        right: ``(N, 1, W)`` or ``(N, H, W)`` columns from it.
        side: ``(N, 1, 1)``.
        centre: Row and column of the highest pixel, ``(N, 1, 1)``.

    Source:
        Andriushchenko et al. 2020, arXiv:1912.00049 (its L2 attack).
    """
    ring = torch.maximum((down - centre[0]).abs(), (right - centre[1]).abs())
    last = side // 2 + 1
    terms = torch.arange(1, int(last.max()) + 1, device=side.device).double().reciprocal().square()
    sums = torch.cat([terms.new_zeros(1), terms.cumsum(0)]).float()
    return sums[last] - sums[ring.minimum(last)]


def two_bumps(down: Tensor, right: Tensor, side: Tensor) -> Tensor:
    """Fill the left half of a square with a bump and the right half with a hollow, ``(N, H, W)``.

    With ``down`` and ``right`` exchanged the halves lie above each other.
    """
    half = side // 2
    hill = bump(down, right, side, centre=(half, half // 2))
    hollow = bump(down, right, side, centre=(half, half + (side - half) // 2))
    return torch.where(right < half, hill, -hollow)


def _extent(any_allowed: Tensor) -> tuple[Tensor, Tensor]:
    """First place that is True, and how many from there to the last one, ``(N, 1, 1)`` each."""
    places = any_allowed.int()
    first, past = places.argmax(1), places.shape[1] - places.flip(1).argmax(1)
    return first.view(-1, 1, 1), (past - first).view(-1, 1, 1)
