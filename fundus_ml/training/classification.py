"""Learning to tell the sexes apart, from images as they are or made adversarial."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.augmentation import augment
from fundus_ml.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.statistics import auroc
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
    for name, dataset in (("train", train), ("val", val)):
        if len(set(dataset.labels.tolist())) < 2:  # noqa: PLR2004 (two classes)
            raise InputError(f"split {name} of {dataset.name}: holds one sex only, both are needed")
    return learn(
        model,
        train,
        SexObjective(train=train, val=val, options=options, perturb=perturb),
        options,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


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
        """Mean cross-entropy of the augmented, perturbed batch."""
        images = augment(
            batch.images,
            self.options.augment,
            generator=generator,
            first=batch.first,
            of=batch.of,
        )
        if self.perturb is not None:
            # Where several processes or passes share a batch, each draws its own noise.
            own = torch.Generator().manual_seed(generator.initial_seed() ^ (batch.first + 1))
            images = self.perturb(bare(model), images, batch.labels, own)
        logit = model(images).float()
        smooth = self.options.label_smoothing
        aims = batch.labels * (1 - smooth) + smooth / 2
        losses = binary_cross_entropy_with_logits(logit, aims, reduction="none")
        if self.weights is not None:
            losses = losses * self.weights[batch.rows].to(losses.device)
        return losses.mean()

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Loss and AUROC of the validation eyes, and AUROC under attack where epochs have one."""
        logit = self._scores(model)
        loss = binary_cross_entropy_with_logits(logit, torch.from_numpy(self.val.labels))
        row = {"val_loss": float(loss), "val_auroc": auroc(self.val.labels, logit.numpy())}
        if self.perturb is not None:
            attacked = self._scores(model, self.perturb)
            row["robust_val_auroc"] = auroc(self.val.labels, attacked.numpy())
        return row

    def _scores(self, model: nn.Module, perturb: Perturb | None = None) -> Tensor:
        logit = predict(
            model,
            self.val,
            batch_size=self.options.batch_size,
            precision=self.options.precision,
            perturb=perturb,
            seed=self.options.seed,
        )
        if not bool(torch.isfinite(logit).all()):
            raise InputError("val_loss=nan: training diverged; lower lr, or set clip_norm")
        return logit
