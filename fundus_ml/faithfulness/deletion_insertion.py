"""Deletion and insertion: the logit as pixels leave or return in the order of the map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.faithfulness.explained import Explained


@dataclass(frozen=True)
class Curves:
    """Logits in the direction of the decision, as pixels leave and as they return.

    Attributes:
        shares: ``(K + 1,)`` share of pixels that were removed, or are shown, from 0 to 1.
        deletion: ``(N, K + 1)``, from the whole image to the fill.
        insertion: ``(N, K + 1)``, from the fill to the whole image.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def deletion_area(self) -> Tensor:
        """Mean of the logit over the deletion, ``(N,)``: smaller is better."""
        return torch.trapezoid(self.deletion, self.shares)

    @property
    def insertion_area(self) -> Tensor:
        """Mean of the logit over the insertion, ``(N,)``: larger is better."""
        return torch.trapezoid(self.insertion, self.shares)


def deletion_insertion(
    explained: Explained, *, fills: Sequence[str], levels: int, blur: float
) -> Mapping[str, Curves]:
    """Remove pixels from the most important on, and show them from the most important on.

    The curves of one fill share their ends, so K levels take 2K - 1 images a fill.

    Args:
        explained: N images and their maps.
        fills: What stands in for removed pixels.
        levels: Steps K, each of the same number of pixels up to rounding.
        blur: Standard deviation of the fill ``blur``, share of the longer side.

    Returns:
        Curves by fill.

    Raises:
        InputError: There is no such fill.

    Source:
        Petsiuk et al. 2018, arXiv:1806.07421. Theirs is of the class probability; ours is of the
        logit towards the decision, which does not saturate. Pixels of equal value leave in a random
        order.
    """
    height, width = explained.images.shape[2:]
    ends = torch.linspace(0, height * width, levels + 1, dtype=torch.float64).round().int()
    ends = ends.to(explained.images.device)
    shares = ends.float() / (height * width)
    curves = {}
    for fill in fills:
        ground = baseline_of(explained.images, fill, blur=blur)
        found = explained.logits_of(_changed(explained, ground, ends)).view(len(explained), -1)
        gone, shown = found[:, :levels], found[:, levels:]
        whole = explained.logits[:, None]
        curves[fill] = Curves(
            shares,
            deletion=torch.cat([whole, gone], dim=1),
            insertion=torch.cat([gone[:, -1:], shown, whole], dim=1),
        )
    return curves


def _changed(explained: Explained, ground: Tensor, ends: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image at every level, deletions first, in passes of ``batch_size``."""
    places = explained.places.view(len(explained), 1, *explained.images.shape[2:])
    count = len(ends) - 1
    # Deleted from place 0 to each end; inserted up to each end is deleted from there on.
    first = torch.cat([torch.zeros_like(ends[1:]), ends[1:-1]])
    last = torch.cat([ends[1:], ends[-1:].expand(count - 1)])
    for pair in explained.pairs(len(first)):
        rows, level = pair // len(first), pair % len(first)
        place = places[rows]
        low, high = (limit[level].view(-1, 1, 1, 1) for limit in (first, last))
        gone = (place >= low) & (place < high)
        yield rows, torch.where(gone, ground[rows], explained.images[rows])
