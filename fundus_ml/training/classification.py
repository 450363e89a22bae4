"""Learning to tell the sexes apart, from images as they are or made adversarial."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training.augmentation import augment
from fundus_ml.training.checkpoints import Checkpoints
from fundus_ml.training.distribution import bare
from fundus_ml.training.engine import Fitted, OnEpochEnd, OnStep, learn
from fundus_ml.training.objective import Batch
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.prediction import Perturb, predict


def fit(
    model: nn.Module,
    train: FundusDataset,
    val: FundusDataset,
    options: TrainingOptions,
    *,
    perturb: Perturb | None = None,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Fitted:
    """Train ``model`` in place and return it as it was at its best validation epoch.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; stays on its device.
        train: Eyes to learn from.
        val: Eyes that choose the epoch.
        options: How to learn.
        perturb: Makes each batch adversarial, in training and in validation.
        checkpoints: Where the training is kept while it lasts, and goes on from where it stood.
        on_step: Called with (steps done, steps in all) after each step.
        on_epoch_end: Called with the row of ``Fitted.history``: ``epoch lr train_loss val_loss
            val_auroc seconds`` and, where ``perturb`` is given, ``robust_val_auroc``; may raise to
            stop the fit.

    Raises:
        InputError: A split holds one class only, or as :func:`fundus_ml.training.engine.learn`.
    """
    for split, dataset in (("train", train), ("val", val)):
        check_both_sexes(split, dataset)
    return learn(
        model,
        train,
        SexObjective(train=train, val=val, options=options, perturb=perturb),
        options,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


def check_both_sexes(split: str, dataset: FundusDataset) -> None:
    """Refuse eyes of one class only.

    Raises:
        InputError: They are.
    """
    if len(set(dataset.labels.tolist())) < 2:  # noqa: PLR2004 (two classes)
        raise InputError(f"split {split} of {dataset.name}: holds one class only, both are needed")


@dataclass(frozen=True, kw_only=True)
class SexObjective:
    """Cross-entropy of the sex, validated by AUROC: an ``Objective`` of the engine.

    Attributes:
        train: Eyes whose weights ``balance=loss`` takes.
        val: Eyes that choose the epoch.
        options: How to learn.
        perturb: Makes each batch adversarial, in training and in validation.
    """

    train: FundusDataset
    val: FundusDataset
    options: TrainingOptions
    perturb: Perturb | None = None
    weights: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Take the weights of the eyes where their errors are weighed."""
        if self.options.balance == "loss":
            weights = torch.tensor(self.train.frame["weight"].to_numpy(), dtype=torch.float32)
            object.__setattr__(self, "weights", weights / weights.mean())

    @property
    def criterion(self) -> str:
        """Clean or robust validation AUROC, as the epochs are."""
        return "val_auroc" if self.perturb is None else "robust_val_auroc"

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean, or weighed mean, of the losses of the augmented batch."""
        images = self.augmented(batch, generator)
        # Where several processes or passes share a batch, each draws its own noise.
        own = torch.Generator().manual_seed(generator.initial_seed() ^ (batch.first + 1))
        losses = self.losses(model, replace(batch, images=images), own)
        if self.weights is not None:
            losses = losses * self.weights[batch.rows].to(losses.device)
        return losses.mean()

    def augmented(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Change the images of a batch at random, as ``augment`` says."""
        return augment(
            batch.images,
            self.options.augment,
            generator=generator,
            first=batch.first,
            of=batch.of,
        )

    def losses(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy of each augmented, perturbed image, ``(n,)``.

        Args:
            model: As in :meth:`loss`.
            batch: Its images are augmented.
            generator: Generator of this part of the batch.
        """
        images = batch.images
        if self.perturb is not None:
            images = self.perturb(bare(model), images, batch.labels, generator)
        return self.errors(model(images).float(), batch.labels)

    def errors(self, logit: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each logit against its smoothed label, ``(n,)``."""
        smooth = self.options.label_smoothing
        aims = labels * (1 - smooth) + smooth / 2
        return binary_cross_entropy_with_logits(logit, aims, reduction="none")

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Loss and AUROC of the validation eyes, and AUROC under attack where epochs have one."""
        logit = self.scores(model, self.val)
        loss = binary_cross_entropy_with_logits(logit, torch.from_numpy(self.val.labels))
        row = {"val_loss": float(loss), "val_auroc": auroc(self.val.labels, logit.numpy())}
        if self.perturb is not None:
            row |= self.under_attack(model, self.scores(model, self.val, self.perturb))
        return row

    def under_attack(self, model: nn.Module, attacked: Tensor) -> dict[str, float]:  # noqa: ARG002 (kinds of epochs may measure more)
        """AUROC of the validation eyes' logits under attack, ``(len(val),)``."""
        return {"robust_val_auroc": auroc(self.val.labels, attacked.numpy())}

    def scores(
        self, model: nn.Module, eyes: FundusDataset, perturb: Perturb | None = None
    ) -> Tensor:
        """Logits of ``eyes``, attacked by ``perturb``, ``(len(eyes),)``.

        Raises:
            InputError: One is no finite number.
        """
        logit = predict(
            model,
            eyes,
            batch_size=self.options.batch_size,
            precision=self.options.precision,
            perturb=perturb,
            seed=self.options.seed,
        )
        if not bool(torch.isfinite(logit).all()):
            raise InputError("val_loss=nan: training diverged; lower lr, or set clip_norm")
        return logit
