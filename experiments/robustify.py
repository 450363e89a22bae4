"""Entry point ``robustify``: adversarial training from a registered version.

Each batch is moved to the worst point that the attack finds inside the ball before the network
learns from it. The epoch with the best robust validation AUROC is registered with its parent and
the alias ``robust``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.protocol.learning import Trained, check_splits, register_fitted
from experiments.protocol.measuring import Measure
from experiments.protocol.parameters import Number, StepLength, run_entry_point
from experiments.protocol.resuming import ResumableOptions, resumable
from experiments.protocol.session import progress, read_dataset, read_model
from experiments.protocol.views import log_augmentation
from fundus_ml.attacks import ThreatModel, step_length
from fundus_ml.robust_training import PGDTraining, make_recipe
from fundus_ml.training import fit
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class RobustifyConfig(ResumableOptions):
    """Flags of ``robustify``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@candidate"
    """Registered version to start from."""
    recipe: str = "pgd"
    """Recipe of adversarial training: pgd."""
    constraint: str = "l2"
    """Ball the training images move in: l2 or linf."""
    eps: Number = Number("3")  # noqa: RUF009 (immutable)
    """Radius of the ball; pixels lie in [0, 1], so an l2 budget grows with the image's side."""
    attack_steps: int = 7
    """Attack steps per batch."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""
    random_start: bool = False
    """Start each attack from a random point of the ball."""
    epochs: int = 5
    """Passes over the training split."""
    lr: float = 3e-4
    """Peak learning rate."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        self.perturbation()

    def perturbation(self) -> PGDTraining:
        """Make the recipe that moves each batch before the network learns from it."""
        return make_recipe(
            self.recipe,
            threat=ThreatModel(constraint=self.constraint, eps=self.eps),
            step_size=step_length(self.step_size, eps=self.eps, attack_steps=self.attack_steps),
            attack_steps=self.attack_steps,
            random_start=self.random_start,
            precision=self.precision,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("robustify", RobustifyConfig, robustify, argv, processes=True)


def robustify(config: RobustifyConfig, run: Run) -> Trained:
    """Continue a version's training on adversarial images and register the result."""
    dataset = read_dataset(run, config.dataset, context="robustify")
    check_splits(dataset, bootstrap=config.bootstrap)
    classifier, parent = read_model(run, config.model)
    measure = Measure(
        bootstrap=config.bootstrap,
        seed=config.seed,
        batch_size=config.batch_size,
        constraint=config.constraint,
        eps=[config.eps],
        attack_steps=config.attack_steps,
        step_size=config.step_size,
        precision=config.precision,
    )
    log_augmentation(run, dataset.split("train"), config)
    with resumable("robustify", config, run, dataset=dataset, parent=parent) as checkpoints:
        with progress("robustify", "step") as on_step:
            fitted = fit(
                classifier,
                dataset.split("train"),
                dataset.split("val"),
                config,
                perturb=config.perturbation(),
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=run.log_epoch,
            )
        return register_fitted(
            run,
            config.register_as,
            fitted,
            dataset,
            measure=measure,
            tags={
                "recipe": config.recipe,
                "constraint": config.constraint,
                "eps": f"{config.eps:g}",
            },
            alias="robust",
            parent=parent,
        )


if __name__ == "__main__":
    main()
