"""Entry point ``pretrain``: learn what fundus photographs look like, without any label.

Two views of each eye of the training split are to be described alike, and different eyes
differently (VICReg); validation eyes choose the epoch by the same loss. The network is registered
under a name of its own: its feature extractor is what later trainings start from
(``weights=models:/fundus-pretrained@candidate``), its logit means nothing yet. A pretraining that
was killed goes on when the same command is given again; under ``torchrun`` several processes share
each batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ResumableOptions
from fundus_ml import pretraining, training
from fundus_ml.errors import InputError

if TYPE_CHECKING:
    import tracking


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(ResumableOptions):
    """Flags of ``pretrain``."""

    head: ClassVar[str] = "last"
    dropout: ClassVar[float] = 0.0
    both_flips: ClassVar[bool] = False

    dataset: str
    """Dataset folder, or several with commas between them."""
    arch: str = "efficientnet_lite0"
    """Backbone, by its name in torchvision or timm."""
    head_hidden: int = 256
    """Width of the layer between the backbone and the logit; both stay random."""
    weights: str = "none"
    """Start weights: none, imagenet (installed for efficientnet_lite0 to 2, else downloaded), a
    file, or a registered version such as models:/fundus-pretrained@candidate."""
    pairs: str = "photograph"
    """What the second view of an eye is made from: the same photograph, or person: another
    photograph of the same person, the fellow eye mirrored."""
    projector: int = 2048
    """Width of the layers behind the feature extractor whose outputs are compared; thrown away
    afterwards."""
    invariance: float = 25.0
    """What the disagreement of two views counts."""
    variance: float = 25.0
    """What it counts that eyes are described alike."""
    covariance: float = 1.0
    """What it counts that two numbers of a description say the same."""
    probe: bool = True
    """Report how well a logistic regression on the frozen features tells the sexes apart; nothing
    is chosen by it."""
    epochs: int = 50
    """Passes over the training split."""
    batch_size: int = 128
    """Photographs per step, those of all processes together; each is seen in two views."""
    warmup: float = 2.0
    """Epochs over which the rate rises linearly to its schedule."""
    augment: str = "full"
    """Views are drawn from ranges of their own, wider than full; nothing else is allowed."""
    register_as: str = "fundus-pretrained"
    """Name in the model registry."""

    def __post_init__(self) -> None:
        """Refuse values outside their range, and flags of learning with labels."""
        super().__post_init__()
        self._refuse_supervision()
        self.coefficients()

    def _refuse_supervision(self) -> None:
        """Refuse flags that mean nothing where no label is seen.

        Raises:
            InputError: The first of them that is set.
        """
        for name, only, reason in (
            ("balance", "none", "it goes by sex, and no label is looked at"),
            ("label_smoothing", 0, "no label is looked at"),
            ("patience", 0, "the schedule needs all its epochs; set epochs"),
            ("augment", "full", "the views have ranges of their own"),
        ):
            value = getattr(self, name)
            if value != only:
                raise InputError(f"{name}={value}: pretrain takes {only} only, {reason}")
        if self.freeze == "backbone":
            raise InputError(
                "freeze=backbone: the backbone is what pretrain learns; pass freeze=none"
            )

    def coefficients(self) -> "pretraining.Coefficients":
        """What each term of the loss counts."""
        return pretraining.Coefficients(
            invariance=self.invariance, variance=self.variance, covariance=self.covariance
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("pretrain", PretrainConfig, pretrain, argv, processes=True)


def pretrain(config: PretrainConfig, run: "tracking.Run") -> "recording.Pretrained":
    """Learn from the training split, choose on validation, register the feature extractor."""
    dataset = running.read_dataset(run, config.dataset, context="pretrain", verify="full")
    objective = pretraining.PretrainingObjective(
        train=dataset.split("train"),
        val=dataset.split("val"),
        options=config,
        pairs=config.pairs,
        coefficients=config.coefficients(),
    )
    classifier, parent = running.start_classifier(config, dataset, run)
    encoder = pretraining.Encoder(classifier, projector=config.projector, seed=config.seed)
    start = recording.probed(encoder, objective) if config.probe else None
    with running.resumable("pretrain", config, run, dataset=dataset, parent=parent) as checkpoints:
        with console.progress("pretrain", "step") as on_step:
            fitted = training.learn(
                encoder,
                objective.train,
                objective,
                config,
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=run.log_epoch,
            )
        return recording.register_pretrained(
            run,
            config.register_as,
            fitted,
            classifier,
            objective=objective,
            weights=config.weights,
            start_probe=start,
            parent=parent,
        )


if __name__ == "__main__":
    main()
