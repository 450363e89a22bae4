"""Random subsets of patches, and what the network loses when they are removed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.errors import InputError
from fundus_ml.faithfulness.explained import Explained


@dataclass(frozen=True)
class Removals:
    """What removing the same subsets of patches costs each image, whatever its map.

    Maps of the same images are scored by one of these: the passes are made once.

    Attributes:
        subsets: ``(S, K, rows, columns)`` booleans, True where a patch is removed; S shares of
            patches, K subsets each.
        losses: ``(N, S, K)`` by how much the logit towards the decision falls.
        patch: Side of a patch, pixels; those of the last row and column may be cut.
    """

    subsets: Tensor
    losses: Tensor
    patch: int

    def sums(self, maps: Tensor) -> Tensor:
        """Add up ``(N, H, W)`` maps within each subset, ``(N, S, K)`` in float64."""
        rows, columns = self.subsets.shape[2:]
        height, width = maps.shape[1:]
        lacking = (0, columns * self.patch - width, 0, rows * self.patch - height)
        padded = torch.nn.functional.pad(maps.double()[:, None], lacking)
        cells = avg_pool2d(padded, self.patch, divisor_override=1).flatten(1)
        found = cells @ self.subsets.flatten(2).flatten(0, 1).to(cells).T
        return found.view(len(maps), *self.subsets.shape[:2])


def remove_subsets(
    explained: Explained,
    *,
    patch: int,
    removed_shares: Sequence[float],
    subsets: int,
    fill: str,
    blur: float,
    seed: int,
) -> Removals:
    """Remove random subsets of patches and ask the network each time.

    Every image loses the same subsets, so that a map meets the same questions as any other and a
    batch the same as its images alone.

    Args:
        explained: N images.
        patch: Side of a patch, pixels.
        removed_shares: Shares of the patches removed at once; at least one patch is.
        subsets: Subsets per share.
        fill: What stands in for removed pixels.
        blur: Standard deviation of the fill ``blur``, share of the longer side.
        seed: Seed of the draw.

    Raises:
        InputError: Fewer than three patches fit, or there is no such fill.
    """
    height, width = explained.images.shape[2:]
    rows, columns = -(-height // patch), -(-width // patch)
    if rows * columns < 3:  # noqa: PLR2004 (subsets must differ)
        raise InputError(
            f"patch={patch}: {rows * columns} patches on {height} x {width} pixels; "
            "at least 3 are needed"
        )
    drawn = _drawn(rows * columns, removed_shares, subsets, seed)
    drawn = drawn.view(len(removed_shares), subsets, rows, columns).to(explained.images.device)
    ground = baseline_of(explained.images, fill, blur=blur)
    logits = explained.logits_of(_changed(explained, ground, drawn.flatten(0, 1), patch))
    losses = explained.logits[:, None] - logits.view(len(explained), -1)
    return Removals(drawn, losses.view(len(explained), *drawn.shape[:2]), patch)


def _drawn(cells: int, shares: Sequence[float], subsets: int, seed: int) -> Tensor:
    """Draw subsets of a fixed size for each share, ``(S, K, cells)`` booleans."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(len(shares), subsets, cells, generator=generator).argsort(dim=2).argsort(2)
    counts = torch.tensor([min(cells - 1, max(1, round(share * cells))) for share in shares])
    return order < counts[:, None, None]


def _changed(
    explained: Explained, ground: Tensor, subsets: Tensor, patch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image without every subset, in passes of ``batch_size``."""
    height, width = explained.images.shape[2:]
    for pair in explained.pairs(len(subsets)):
        rows, subset = pair // len(subsets), pair % len(subsets)
        gone = interpolate(subsets[subset, None].float(), scale_factor=patch, mode="nearest")
        gone = gone[..., :height, :width] > 0
        yield rows, torch.where(gone, ground[rows], explained.images[rows])
