"""Which eyes a step sees: a function of the seed, the epoch and the step, and of nothing else.

Nothing that is drawn depends on what was drawn before, so a training that was interrupted goes on
at any step, and processes that share a batch draw for it alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.training.distribution import World

_MOST_CATEGORIES = 2**24
"""That torch.multinomial draws from."""


def step_seed(seed: int, epoch: int, step: int) -> int:
    """Seed of one step: well apart for any two steps of one seed or of two."""
    state = np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def epoch_order(dataset: FundusDataset, *, seed: int, epoch: int, weighted: bool) -> Tensor:
    """Order the eyes of one epoch.

    Args:
        dataset: The training split.
        seed: Seed of the training.
        epoch: From 1.
        weighted: Draw with replacement by the manifest's ``weight`` instead of shuffling.

    Returns:
        ``(len(dataset),)`` rows.
    """
    generator = torch.Generator().manual_seed(step_seed(seed, epoch, 0))
    count = len(dataset)
    if not weighted:
        return torch.randperm(count, generator=generator)
    weights = torch.tensor(dataset.frame["weight"].to_numpy(np.float64))
    assert count < _MOST_CATEGORIES
    return torch.multinomial(weights, count, replacement=True, generator=generator)


@dataclass(frozen=True)
class Replays:
    """Which batches an epoch learns from where each is learned from several times in a row.

    An epoch takes as many steps as without replays, or a few less, and so goes over one part of the
    split; as many epochs as there are replays go over it once.

    Attributes:
        count: Steps that learn from one batch.
        batches: Full batches of the split.
    """

    count: int
    batches: int

    @property
    def per_epoch(self) -> int:
        """Different batches of one epoch."""
        return self.batches // self.count

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return self.per_epoch * self.count

    def passage(self, epoch: int) -> int:
        """Say how often the split is begun up to ``epoch``, both from 1."""
        return (epoch - 1) // self.count + 1

    def place(self, epoch: int, step: int) -> int:
        """Say which batch of its passage a step learns from; both from 0, ``epoch`` from 1."""
        return (epoch - 1) % self.count * self.per_epoch + step // self.count

    def of(self, order: Tensor, batch_size: int, epoch: int) -> Tensor:
        """Take the part of a passage's ``order`` that ``epoch`` learns from, batches repeated."""
        first = self.place(epoch, 0) * batch_size
        part = order[first : first + self.per_epoch * batch_size].view(-1, batch_size)
        return part.repeat_interleave(self.count, dim=0).flatten()


def shares(order: Tensor, batch_size: int, world: World, *, after: int = 0) -> Iterator[Tensor]:
    """Cut an epoch into full batches and yield this process's equal share of each.

    Args:
        order: Rows of the epoch; the last ones that fill no batch are left out.
        batch_size: Rows of a whole batch.
        world: Which process this is, of how many.
        after: Batches at the beginning that were learned already.

    Yields:
        ``(batch_size / world.size,)`` rows.
    """
    size = batch_size // world.size
    for batch in range(after, len(order) // batch_size):
        first = batch * batch_size + world.rank * size
        yield order[first : first + size]
