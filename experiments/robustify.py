"""Entry point ``robustify``: adversarial training from a registered version.

The network learns from images that are moved inside a ball, as the method has it, and every epoch
is validated under PGD, whatever the method. The epoch with the best robust validation AUROC is
registered with its parent. It gets the aliases ``robust`` and, with its radius, such as
``robust-l2-3`` only where, on the test split, the worst of several attacks leaves a balanced
accuracy and an AUROC above 1/2 and no gradient is masked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import tracking
from experiments import recording, running
from experiments.recording.options import ScoreOptions
from experiments.running import console
from experiments.running.flags import Number, StepLength, run_entry_point
from experiments.running.identity import adopted
from experiments.running.options import ReplicatedOptions
from fundus_ml import attacks, data, models, robust_training, training
from fundus_ml.attacks.options import check_ball, check_engine
from fundus_ml.attacks.step_sizes import step_length
from fundus_ml.data.options import EYE, TRUE, check_labels, check_sides
from fundus_ml.errors import InputError
from fundus_ml.robust_evaluation.options import check_gate_radius, grey_levels
from fundus_ml.robust_training.options import check_eps_warmup, check_margin, check_method
from fundus_ml.statistics.numerals import plain


@dataclass(frozen=True, kw_only=True)
class RobustifyConfig(ReplicatedOptions):
    """Flags of ``robustify``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@candidate"
    """Registered version to start from; for replicates one for all, or one each with commas between
    them."""
    recipe: str = ""
    """YAML file of values for these flags; a flag that is given another value than its default
    keeps it."""
    tuned: str = ""
    """JSON file of the best values of a tuning of robustify, such as
    runs:/RUN_ID/best_parameters.json."""
    method: str = "pgd"
    """Method of adversarial training: pgd, fast, free or trades."""
    constraint: str = "l2"
    """Ball the training images move in: l2 or linf."""
    eps: Number = Number("3")  # noqa: RUF009 (immutable)
    """Radius of the ball; pixels lie in [0, 1], so an l2 budget grows with the image's side."""
    attack_steps: int = 7
    """Attack steps per batch of pgd and trades; of the attack that validates, whatever the
    method."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps, and for fast and free one step over
    the whole radius (1.25·eps for fast under linf)."""
    attack_engine: str = "native"
    """Who makes the adversarial images of method=pgd, and judges: native, or robustness, the
    library."""
    random_start: bool = False
    """Start PGD from a random point of the ball; fast and free always do."""
    beta: float = 6.0
    """trades: weight of the divergence between the predictions of an image and around it."""
    replays: int = 4
    """free: steps in a row that learn from one batch; in so many epochs each eye has its turn."""
    eps_warmup: float = 0.0
    """Epochs over which eps and the step sizes of the training rise linearly from zero."""
    overfitting_monitor: float = 0.2
    """Fall of the accuracy under PGD that ends the training where the accuracy under one step does
    not fall with it (catastrophic overfitting); 0 watches nothing."""
    epochs: int = 5
    """Passes over the training split."""
    lr: float = 3e-4
    """Peak learning rate."""
    gate: bool = True
    """Ask whether the version stands several attacks on the test split, which gives it the alias
    robust; false asks nothing, gives no alias and tags the version robust_gate=skipped."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry; of another contrast than sex fundus-CONTRAST in its place."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_ball(self.constraint, self.eps)
        check_method(self.method, beta=self.beta, replays=self.replays)
        step_length(self.step_size, eps=self.eps, attack_steps=self.attack_steps)
        check_engine(self.attack_engine)
        if self.attack_engine != "native" and self.method != "pgd":
            raise InputError(
                f"attack_engine={self.attack_engine}: makes the images of method=pgd only, "
                f"not of method={self.method}"
            )
        if len(self.starts) not in {1, self.replicates}:
            raise InputError(
                f"model={self.model}: names {len(self.starts)} versions; one for all "
                f"replicates={self.replicates} is allowed, or one each"
            )
        check_eps_warmup(self.eps_warmup, epochs=self.epochs)
        if self.gate and not self.eps:
            raise InputError(
                "eps=0: must be above 0 for the gate; gate=false asks none and gives no alias"
            )
        if self.overfitting_monitor:
            check_margin(self.overfitting_monitor)

    @property
    def starts(self) -> list[str]:
        """Addresses of the versions to start from."""
        return running.comma_list(self.model, flag="model")

    @property
    def validation_step(self) -> StepLength:
        """Length of a step of PGD where it judges: steps of fast and free are long ones."""
        return self.step_size if self.method in {"pgd", "trades"} else "auto"

    @property
    def threat(self) -> "attacks.ThreatModel":
        """The ball that training images move in."""
        return attacks.ThreatModel(constraint=self.constraint, eps=self.eps)

    def made_method(self) -> "robust_training.Method":
        """Make the method that says what is learned from each batch."""
        method = robust_training.make_method(
            self.method,
            threat=self.threat,
            step_size=self.step_size,
            attack_steps=self.attack_steps,
            random_start=self.random_start,
            beta=self.beta,
            replays=self.replays,
            precision=self.precision,
        )
        # With the library, what judges is what is learned from.
        return method if self.attack_engine == "native" else self.validation_attack()

    def validation_attack(self) -> "robust_training.PGDTraining":
        """Make the attack that every epoch is validated under."""
        return robust_training.PGDTraining(
            attack_engine=self.attack_engine,
            threat=self.threat,
            step_size=step_length(
                self.validation_step, eps=self.eps, attack_steps=self.attack_steps
            ),
            attack_steps=self.attack_steps,
            random_start=self.random_start,
            precision=self.precision,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("robustify", RobustifyConfig, robustify, argv, processes=True)


def robustify(config: RobustifyConfig, run: "tracking.Run") -> "running.Trained":
    """Continue a version's training on adversarial images and register the result.

    Hands back the first of several replicates.
    """
    config = running.with_recipe(config, run)
    config = running.with_tuned(config, run, entry_point="robustify")
    dataset = running.read_dataset_for(
        run, config.dataset, config.starts, context="robustify", verify="full"
    )
    recording.check_splits(dataset, bootstrap=config.bootstrap)
    recording.log_augmentation(run, dataset.split("train"), config)
    if config.replicates == 1:
        return robustify_one(config, run, dataset)
    starts = config.starts
    found = running.replicates(
        "robustify",
        config,
        run,
        robustify_one,
        dataset=dataset,
        paths=config.dataset,
        starts=running.registered_starts(starts),
        own=lambda one, place: replace(one, model=starts[place % len(starts)]),
        record=partial(recording.record_replicates, bootstrap=config.bootstrap),
    )
    return found[0].trained


def robustify_one(
    config: RobustifyConfig,
    run: "tracking.Run",
    dataset: "data.FundusDataset",
    *,
    named: bool = True,
) -> "running.Trained":
    """Make one network robust and register it.

    Args:
        config: Flags, those of its recipe among them.
        run: Its run.
        dataset: Open.
        named: Whether it may get the alias ``robust``, if it passes the gate.
    """
    classifier, parent = read_start(config, run, dataset)
    options = adopted(config, ScoreOptions, eps=[config.eps], step_size=config.validation_step)
    with running.resumable("robustify", config, run, dataset=dataset, parent=parent) as checkpoints:
        with console.progress("robustify", "step") as on_step:
            fitted = fit_adversarial(
                config,
                classifier,
                dataset,
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=run.log_epoch,
            )
        seen = monitor_tags(run, fitted)
        passed, asked = ask_or_skip(run, fitted, dataset, config)
        trained = recording.register_fitted(
            run,
            running.registered_name(config.register_as, dataset),
            fitted,
            dataset,
            options=options,
            tags={
                "recipe": config.method,
                "constraint": config.constraint,
                "eps": plain(config.eps),
                "eps_grey_levels": _grey_levels(config, size=dataset.size),
                "labels": config.labels,
                "seed": str(config.seed),
                **seen,
                **asked,
            },
            alias="robust" if named and passed else None,
            parent=parent,
        )
        if named and passed and not run.silent:
            tracking.set_alias(trained.version, alias_of_radius(config.constraint, config.eps))
        return trained


def alias_of_radius(constraint: str, eps: float) -> str:
    """Name the alias of a radius, which no version of another radius takes.

    >>> alias_of_radius("l2", 0.5)
    'robust-l2-0_5'
    """
    return f"robust-{constraint}-{plain(eps).replace('.', '_')}"


def read_start(
    config: RobustifyConfig, run: "tracking.Run", dataset: "data.FundusDataset"
) -> "tuple[models.Classifier, tracking.ModelVersion]":
    """Read the version to start from, once the radius and what it has learned are known to suit.

    Args:
        config: Flags.
        run: Gets the version as its input.
        dataset: What is learned from.

    Raises:
        InputError: The radius is too small for the gate, a null model would start from a network
            that has learned true labels, or left and right are asked of eyes that are mirrored.
    """
    if config.gate and config.labels == TRUE:
        check_gate_radius(config.constraint, config.eps, size=dataset.size)
    classifier, parent = running.read_model(run, config.model)
    spec = classifier.spec
    if dataset.contrast.name == EYE:
        check_sides(
            f"contrast={EYE}", augment=config.augment, both_flips=spec.both_flips, head=spec.head
        )
    if config.labels != TRUE:
        running.check_null_start(parent, labels=config.labels, named=f"model={config.model}")
        check_labels(config.labels, augment=config.augment, both_flips=spec.both_flips)
    return classifier, parent


def fit_adversarial(
    config: RobustifyConfig,
    classifier: "models.Classifier",
    dataset: "data.FundusDataset",
    *,
    on_epoch_end: "training.OnEpochEnd",
    checkpoints: "training.Checkpoints | None" = None,
    on_step: "training.OnStep | None" = None,
) -> "training.Fitted":
    """Train on adversarial images with the flags of ``robustify``, as it and ``tune`` do."""
    learned = data.labels_to_learn(dataset, config.labels, seed=config.seed)
    return robust_training.fit_robust(
        classifier,
        learned.split("train"),
        learned.split("val"),
        config,
        method=config.made_method(),
        validation_attack=config.validation_attack(),
        eps_warmup=config.eps_warmup,
        overfitting_monitor=config.overfitting_monitor,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


def ask_or_skip(
    run: "tracking.Run",
    fitted: "training.Fitted",
    dataset: "data.FundusDataset",
    config: RobustifyConfig,
) -> tuple[bool, dict[str, str]]:
    """Ask the gate whether the network may be called robust; where it is not asked, it may not.

    Returns:
        Whether it may, and the tags of its version, as :func:`ask_gate`.
    """
    if config.gate and config.labels == TRUE:
        return recording.ask_gate(run, fitted.model, dataset.split("test"), config, eps=config.eps)
    why = "gate=false" if config.labels == TRUE else f"labels={config.labels}"
    if not run.silent:
        console.say(f"alias robust not given: {why} asks no gate")
    return False, {"robust_gate": "skipped"}


def _grey_levels(config: RobustifyConfig, *, size: int) -> str:
    """Radius as per-value RMS, in grey levels, which compares over sizes of images."""
    return f"{grey_levels(config.constraint, config.eps, size=size):.3g}"


def monitor_tags(run: "tracking.Run", fitted: "training.Fitted") -> dict[str, str]:
    """Tag the run with what the overfitting monitor saw, print it, and return the tags."""
    if not fitted.ended:
        return {}
    seen = {"overfitting_monitor": f"{fitted.ended}; epoch {fitted.best_epoch} is kept"}
    run.set_tags(seen)
    if not run.silent:
        console.say(seen["overfitting_monitor"])
    return seen


if __name__ == "__main__":
    main()
