"""Entry point ``tune``: search for good parameters of ``train`` or ``robustify``.

An Optuna study draws parameters from a search space, trains with each draw as a nested run, stops
hopeless trials early, and leaves the best draw as ``best_parameters.json``, which ``train`` (or
``robustify``, if that was tuned) accepts as ``tuned``. A study that was interrupted goes on where
it stood. Any number of processes may share one, each begun by the same command; a trial whose
process dies is run again by another.
"""

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tracking
from experiments import recording, running
from experiments.robustify import RobustifyConfig, fit_adversarial, robustify
from experiments.running import console
from experiments.running.flags import Number, StepLength, execute, run_entry_point
from experiments.running.identity import adopted, weights_file
from experiments.running.options import METRICS, ConsoleOptions, NetworkOptions
from experiments.train import TrainConfig, check_learnable, fit_clean, train
from fundus_ml.errors import InputError, refuse_outside
from fundus_ml.robust_evaluation.options import check_gate_radius
from tracking.options import PRUNERS

if TYPE_CHECKING:
    from fundus_ml import data, training

Training = TrainConfig | RobustifyConfig

MOVES_NO_VALUE = frozenset({"dataset", "recipe", "gate", "bootstrap", "register_as", "verbose"})
"""Flags that trials of one study may differ in; the dataset counts by its digest."""


@dataclass(frozen=True, kw_only=True)
class TuneConfig(NetworkOptions, ConsoleOptions):
    """Flags of ``tune``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    contrast: str = "sex"
    """Question to answer: sex; a finding against healthy eyes, such as glaucoma; eye (left or
    right); a number with a cut, such as age>60; or a column of two values."""
    method: str = "clean"
    """What is tuned: clean (train), or a method of robustify (pgd, fast, free, trades) from
    `model`."""
    trials: int = 20
    """Finished trials the study holds in the end, those of all processes together."""
    study: str = "fundus-sex"
    """Name of the study; the same name goes on with it."""
    storage: str = ""
    """Database of studies, sqlite:///FILE or postgresql+psycopg://…, without a password; if empty
    FUNDUS_STUDIES_URI, else optuna.db here."""
    space: str = ""
    """JSON file of ranges and choices to draw from; one of experiments/search_spaces if empty."""
    metric: str = "auto"
    """What is sought: val_auroc, val_loss or robust_val_auroc; auto is the AUROC of the method."""
    pruner: str = "hyperband"
    """Which trials stop early: hyperband, asha, median or none."""
    prune_after: int = 0
    """Epochs that every trial gets; 0 is a quarter of epochs."""
    timeout: float = 0.0
    """Seconds after which no trial begins (one under way is finished); 0 is no limit."""
    heartbeat: int = 30
    """Seconds between signs of life; after six without one a process's trial is begun again."""
    model: str = "models:/fundus-sex@candidate"
    """Registered version the other methods start from."""
    constraint: str = "l2"
    """Ball of the other methods: l2 or linf."""
    eps: Number = Number("3")  # noqa: RUF009 (immutable)
    """Radius of the ball."""
    attack_steps: int = 7
    """Attack steps per batch of pgd and trades; of the attack that validates, whatever the
    method."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps, and for fast and free one step over
    the whole radius (1.25·eps for fast under linf)."""
    random_start: bool = False
    """Start PGD from a random point of the ball; fast and free always do."""
    beta: float = 6.0
    """trades: weight of the divergence between the predictions of an image and around it."""
    replays: int = 4
    """free: steps in a row that learn from one batch; in so many epochs each eye has its turn."""
    eps_warmup: float = 0.0
    """Epochs over which eps and the step sizes of the training rise linearly from zero."""
    overfitting_monitor: float = 0.2
    """Fall of the accuracy under PGD that ends a training where the accuracy under one step does
    not fall with it (catastrophic overfitting); 0 watches nothing."""
    retrain: bool = False
    """Train once more with the best values in the end, and register that as candidate (clean) or,
    where it stands several attacks, as robust."""
    retrain_epochs: int = 0
    """Epochs of that training; as many as a trial's if 0."""
    gate: bool = True
    """Ask the gate of that training, as robustify does; false asks none and gives no alias."""
    bootstrap: int = 2000
    """Resamples of people behind each interval of the retrained version."""
    register_as: str = "fundus-sex"
    """Name in the model registry of the retrained version; of another contrast than sex
    fundus-CONTRAST in its place."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse_outside(
            self,
            at_least={
                "trials": 1, "timeout": 0, "heartbeat": 1, "retrain_epochs": 0, "prune_after": 0,
            },
            one_of={"pruner": PRUNERS, "metric": ("auto", *METRICS)},
        )  # fmt: skip
        if self.method == "clean" and self.metric == "robust_val_auroc":
            raise InputError("metric=robust_val_auroc: method=clean attacks nothing; name another")
        if self.storage and tracking.has_password(self.storage):
            raise InputError(
                "storage: everybody on this machine can read a password in a flag, and it is kept "
                "with the run; leave it to PGPASSWORD or ~/.pgpass, or put the whole address in "
                "FUNDUS_STUDIES_URI"
            )
        self.training()

    @property
    def sought(self) -> str:
        """The metric, ``auto`` made up."""
        if self.metric != "auto":
            return self.metric
        return "val_auroc" if self.method == "clean" else "robust_val_auroc"

    def training(self) -> Training:
        """Flags of the training that is tuned."""
        if self.method == "clean":
            return adopted(self, TrainConfig)
        return adopted(self, RobustifyConfig)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("tune", TuneConfig, tune, argv)


def tune(config: TuneConfig, run: "tracking.Run") -> Mapping[str, Any]:
    """Run trials until the study is full; hand back and record the best parameters."""
    config = running.with_recipe(config, run)
    run.set_tags({"study": config.study})
    base = _pinned(config.training())
    file = running.read_space(config.space, base, default=_entry_point(base))
    dataset = _dataset(config, base, run)
    if config.retrain:
        recording.check_splits(dataset, bootstrap=config.bootstrap)
        _check_retraining(config, base, file, size=dataset.size)
    objective = _objective(base, dataset, run, metric=config.sought)
    study = _open(config, file, _about(config, base, dataset))
    with console.progress("tune", "trial") as on_trial:
        tracking.run_trials(
            study,
            objective,
            trials=config.trials,
            timeout=config.timeout or None,
            on_trial=lambda _: on_trial(tracking.finished(study), config.trials),
        )
    best = _record(config, base, study, run, dataset=dataset.name)
    if config.retrain:
        console.say(_retrain(config, base, study, run))
    return best


def _check_retraining(
    config: TuneConfig, base: Training, file: "running.SpaceFile", *, size: int
) -> None:
    """Refuse, before any trial, what the training with the best values would refuse."""
    epochs = config.retrain_epochs or config.epochs
    try:
        whole = dataclasses.replace(base, epochs=epochs, recipe="")
        running.read_space(config.space, whole, default=_entry_point(base))
    except InputError as error:
        raise InputError(f"retrain_epochs={epochs}: {error}") from None
    if isinstance(base, RobustifyConfig) and base.gate:
        drawn = [value for name, value in tracking.extremes(file.space) if name == "eps"]
        check_gate_radius(base.constraint, min(drawn, default=base.eps), size=size)


def _pinned(base: Training) -> Training:
    """Let every trial start from the version that an alias means now."""
    if isinstance(base, RobustifyConfig):
        return dataclasses.replace(base, model=tracking.resolve(base.model).uri)
    if base.weights.startswith(running.REGISTERED):
        return dataclasses.replace(base, weights=tracking.resolve(base.weights).uri)
    return base


def _dataset(config: TuneConfig, base: Training, run: "tracking.Run") -> "data.FundusDataset":
    """Open what the trials learn from, with the question of the training or of its start."""
    if isinstance(base, TrainConfig):
        check_learnable(base)
        return running.read_dataset(
            run, config.dataset, context="tune", verify="full", contrast=base.contrast
        )
    return running.read_dataset_for(
        run, config.dataset, [base.model], context="tune", verify="full"
    )


def _objective(
    base: Training, dataset: "data.FundusDataset", run: "tracking.Run", *, metric: str
) -> "running.Objective":
    """Make what a trial does: the training with the drawn values in place of its flags."""
    if isinstance(base, TrainConfig):

        def clean(
            trial: "tracking.Trial", on_epoch_end: "training.OnEpochEnd"
        ) -> "training.Fitted":
            drawn = dataclasses.replace(base, **trial.parameters)
            model, _ = running.start_classifier(drawn, dataset, trial.run)
            return fit_clean(drawn, model, dataset, on_epoch_end=on_epoch_end)

        return running.objective_of(clean, epochs=base.epochs, metric=metric)
    start, _ = running.read_model(run, base.model)

    def adversarial(
        trial: "tracking.Trial", on_epoch_end: "training.OnEpochEnd"
    ) -> "training.Fitted":
        drawn = dataclasses.replace(base, **trial.parameters)
        return fit_adversarial(drawn, copy.deepcopy(start), dataset, on_epoch_end=on_epoch_end)

    return running.objective_of(adversarial, epochs=base.epochs, metric=metric)


def _about(config: TuneConfig, base: Training, dataset: "data.FundusDataset") -> dict[str, object]:
    """Say what makes the trials of a study comparable."""
    own = {field.name for field in dataclasses.fields(config)} - MOVES_NO_VALUE
    about = {name: value for name, value in dataclasses.asdict(base).items() if name in own}
    return running.without_later_flags(about) | {
        **weights_file(base),
        "method": config.method,
        "metric": config.sought,
        "pruner": config.pruner,
        "prune_after": config.prune_after,
        "dataset digest": dataset.digest,
    }


def _open(
    config: TuneConfig, file: "running.SpaceFile", about: Mapping[str, object]
) -> "tracking.Study":
    own = running.own_values(file.space, config)
    if beyond := tracking.outside(file.space, own):
        console.warn(f"not tried first: {beyond} lies outside {file.path}")
    return tracking.open_study(
        config.study,
        config.storage,
        space=file.space,
        starts=file.starts if beyond else [own, *file.starts],
        settings={name: value for name, value in about.items() if name not in file.space},
        direction=METRICS[config.sought],
        pruner=tracking.make_pruner(
            config.pruner, epochs=config.epochs, prune_after=config.prune_after
        ),
        seed=config.seed,
        heartbeat=config.heartbeat,
    )


def _record(
    config: TuneConfig,
    base: Training,
    study: "tracking.Study",
    run: "tracking.Run",
    *,
    dataset: str,
) -> dict[str, Any]:
    metric, whom = config.sought, _entry_point(base)
    pictures = tracking.log_study(study, run, metric=metric)
    best = tracking.best_trial(study)
    chosen_from = tracking.compared(study)
    method = {} if isinstance(base, TrainConfig) else {"method": base.method}
    about = {running.TUNED_FOR: whom, running.CHOSEN_FROM: chosen_from}
    run.log_json(best.params | method | about, "best_parameters.json")
    run.set_tags({"settings_chosen_from": chosen_from})
    value = study.optuna.best_value
    run.log_metrics({tracking.metric_name(f"best_{metric}"): value, "best_trial": best.number})
    recording.write_study_page(study, run, pictures, metric=metric, dataset=dataset)
    console.say(
        f"best {metric} {best.value:.3f} by trial {best.number}, the best of {chosen_from}, with "
        f"{json.dumps(best.params)}"
    )
    console.say(f"{whom} with it: -P tuned={run.artifact_uri('best_parameters.json')}")
    return best.params


def _retrain(
    config: TuneConfig, base: Training, study: "tracking.Study", run: "tracking.Run"
) -> str:
    epochs = config.retrain_epochs or config.epochs

    def once(values: Mapping[str, Any]) -> "tracking.ModelVersion":
        # Its recipe is in the values already; once more it would overrule drawn ones.
        whole = dataclasses.replace(base, **values, epochs=epochs, recipe="")
        if isinstance(whole, TrainConfig):
            return execute("train", train, whole, step="retrain").version
        return execute("robustify", robustify, whole, step="retrain").version

    return tracking.retrain_once(
        study, once, run=run, epochs=epochs, register_as=config.register_as
    )


def _entry_point(base: Training) -> str:
    return "train" if isinstance(base, TrainConfig) else "robustify"


if __name__ == "__main__":
    main()
