"""Pretraining as the engine sees it: a loss of a batch, and a validation that uses no label."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.pretraining.encoder import Encoder
from fundus_ml.pretraining.options import Coefficients
from fundus_ml.pretraining.pairing import Pairing
from fundus_ml.pretraining.passes import over_batches
from fundus_ml.pretraining.vicreg import vicreg
from fundus_ml.training.distribution import bare, sum_with_gradient, world
from fundus_ml.training.objective import Batch
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.sampling import step_seed

VALIDATION = 0
"""The epoch that the views of validation are drawn for, so that all epochs are judged alike."""


@dataclass(frozen=True, kw_only=True)
class PretrainingObjective:
    """VICReg between two views of each eye: an ``Objective`` of the engine for an ``Encoder``.

    Attributes:
        train: Eyes to learn from; their labels are not looked at.
        val: Eyes that choose the epoch by the loss alone.
        options: How to learn.
        pairs: What the second view is made from: ``photograph`` or ``person``.
        coefficients: Coefficients of the three terms.

    Raises:
        InputError: A split has fewer than two eyes, or none can be paired.
    """

    train: FundusDataset
    val: FundusDataset
    options: TrainingOptions
    pairs: str = "photograph"
    coefficients: Coefficients = field(default_factory=Coefficients)
    pairing: Pairing = field(init=False)
    val_pairing: Pairing = field(init=False)

    def __post_init__(self) -> None:
        """Find who pairs with whom."""
        for name, dataset in (("train", self.train), ("val", self.val)):
            if len(dataset) < 2:  # noqa: PLR2004 (a variance needs two)
                raise InputError(f"split {name} of {dataset.name}: holds one eye, two are needed")
        object.__setattr__(self, "pairing", Pairing(self.train, self.pairs))
        object.__setattr__(self, "val_pairing", Pairing(self.val, self.pairs))

    @property
    def criterion(self) -> str:
        """The validation loss, negated so that larger is better."""
        return "negative_val_loss"

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Weighed terms of the batch, over the embeddings of all processes."""
        views = self.pairing.views(
            batch.rows, batch.images, generator=generator, first=batch.first, of=batch.of
        )
        # One pass: BatchNorm sees both views.
        described = model(torch.cat(views))
        embeddings = described[:, bare(model).width :]
        one, two = (everyones(part) for part in embeddings.chunk(2))
        return vicreg(one, two).total(self.coefficients)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Measure the loss and whether the eyes are still told apart.

        Returns:
            ``val_loss``, its negative, its terms ``val_invariance``, ``val_variance`` and
            ``val_covariance``, all over the whole split at once; ``val_embedding_std``, which is 0
            where every eye has collapsed onto one embedding and 1 where the loss wants it;
            ``val_feature_rank``, of :func:`effective_rank`.

        Raises:
            InputError: The loss is no longer finite.
        """
        assert isinstance(model, Encoder)
        described = over_batches(
            model,
            self.val,
            lambda number, rows, images: self._describe(model, number, rows, images),
            batch_size=self.options.batch_size,
            precision=self.options.precision,
        )
        features = described[:, : model.width]
        one, two = described[:, model.width :].chunk(2, dim=1)
        terms = vicreg(one, two)
        loss = float(terms.total(self.coefficients))
        if not math.isfinite(loss):
            raise InputError(f"val_loss={loss}: training diverged; lower lr")
        return {
            "val_loss": loss,
            "negative_val_loss": -loss,
            "val_invariance": float(terms.invariance),
            "val_variance": float(terms.variance),
            "val_covariance": float(terms.covariance),
            "val_embedding_std": float(one.std(dim=0).mean()),
            "val_feature_rank": effective_rank(features),
        }

    def _describe(self, model: Encoder, number: int, rows: Tensor, images: Tensor) -> Tensor:
        """``(n, width + 2·projector)``: features of the first view, embeddings of both."""
        seed = step_seed(self.options.seed, VALIDATION, number + 1)
        generator = torch.Generator().manual_seed(seed)
        first, second = self.val_pairing.views(rows, images, generator=generator)
        return torch.cat((model(first), model(second)[:, model.width :]), dim=1)


def everyones(embeddings: Tensor) -> Tensor:
    """Gather ``(n, d)`` of every process into ``(n · processes, d)``, with its gradient.

    Each process then computes the same loss; since DistributedDataParallel divides by the number
    of processes what they add up, the gradient is that of one process with the whole batch.
    """
    here = world()
    if here.size == 1:
        return embeddings
    whole = embeddings.new_zeros(here.size, *embeddings.shape)
    whole[here.rank] = embeddings
    return sum_with_gradient(whole).flatten(0, 1)


def effective_rank(features: Tensor) -> float:
    """Count the directions that features spread over.

    Args:
        features: ``(n, d)``, n of 2 or more.

    Returns:
        From 1 (all on a line) to min(n - 1, d) (even in all directions); 0 where all are equal.

    Source:
        Roy & Vetterli 2007, The effective rank; Garrido et al. 2023, arXiv:2210.02885, who count
        the mean as a direction, which swamps all others in features that are never negative.
    """
    spread = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    if not spread.sum() > 0:
        return 0.0
    shares = spread / spread.sum()
    return float(torch.special.entr(shares).sum().exp())
