"""Entry point ``robustify``: adversarial training from a registered version.

Each batch is moved to the worst point that the attack finds inside the ball before the network
learns from it. The epoch with the best robust validation AUROC is registered with its parent and
the alias ``robust``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.parameters import Number, run_entry_point
from experiments.session import measure, progress, read_dataset, read_model, register
from fundus_ml.attacks import StepSize, ThreatModel, step_length
from fundus_ml.figures import training_curves
from fundus_ml.robust_training import make_recipe
from fundus_ml.training import TrainingOptions, fit
from tracking.registry import ModelVersion
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class RobustifyConfig(TrainingOptions):
    """Flags of ``robustify``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@candidate"
    """Registered version to start from."""
    recipe: str = "pgd"
    """Recipe of adversarial training: pgd."""
    constraint: str = "l2"
    """Ball the training images move in: l2 or linf."""
    eps: Number = Number(3)
    """Radius of the ball; pixels lie in [0, 1], so an l2 budget grows with the image's side."""
    attack_steps: int = 7
    """Attack steps per batch."""
    step_size: Number | StepSize = "auto"
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("robustify", RobustifyConfig, robustify, argv)


def robustify(config: RobustifyConfig, run: Run) -> ModelVersion:
    """Continue a version's training on adversarial images and register the result."""
    threat = ThreatModel(constraint=config.constraint, eps=config.eps)
    step_size = step_length(config.step_size, eps=config.eps, attack_steps=config.attack_steps)
    perturb = make_recipe(
        config.recipe,
        threat=threat,
        step_size=step_size,
        attack_steps=config.attack_steps,
        random_start=config.random_start,
        precision=config.precision,
    )
    dataset = read_dataset(run, config.dataset, context="robustify")
    classifier, parent = read_model(run, config.model)
    with progress("robustify", "step") as on_step:
        fitted = fit(
            classifier,
            dataset.split("train"),
            dataset.split("val"),
            config,
            perturb=perturb,
            on_step=on_step,
            on_epoch_end=run.log_epoch,
        )
    run.log_figure(training_curves(fitted.history), "training_curves.png")
    metrics = measure(
        run,
        fitted,
        dataset.split("test"),
        config.bootstrap,
        eps=(config.eps,),
        constraint=config.constraint,
        attack_steps=config.attack_steps,
        step_size=config.step_size,
    )
    tags = {
        "dataset_digest": dataset.digest,
        "recipe": config.recipe,
        "constraint": config.constraint,
        "eps": f"{config.eps:g}",
    }
    return register(
        run,
        config.register_as,
        fitted.model,
        metrics=metrics,
        tags=tags,
        aliases=["robust"],
        parent=parent,
    )


if __name__ == "__main__":
    main()
