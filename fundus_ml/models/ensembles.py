"""Several networks that answer as one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError


class Ensemble(nn.Module):
    """The mean logit of several networks, each of which normalises its pixels as it learned to.

    Args:
        members: Two or more, on one device; they are shared, not copied.

    Raises:
        InputError: There are fewer than two.

    Source:
        Boreiko et al. 2022, doi:10.1101/2022.07.06.22276633, who average the probabilities of a
        plain and a robust network. Ours averages logits, whose gradient does not vanish where a
        member is sure.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(members) < 2:  # noqa: PLR2004 (a mean of several)
            raise InputError(f"members: {len(members)} given; an ensemble is two networks or more")
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Score photographs.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N,)`` logits; the sigmoid is the probability of the second class.
        """
        return torch.stack([member(images) for member in self.members]).mean(0)
