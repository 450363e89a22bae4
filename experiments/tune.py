"""Entry point ``tune``: search for good training parameters.

An Optuna study draws parameters from a search space, trains a classifier with each draw as a
nested run, stops hopeless trials early, and leaves the best draw as ``best_parameters.json``, which
``train`` accepts as ``tuned``. A study that was interrupted goes on where it stood; any number of
processes may share one.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.protocol.learning import start_classifier
from experiments.protocol.parameters import run_entry_point
from experiments.protocol.session import progress, read_dataset
from fundus_ml.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.training import TrainingOptions, fit
from tracking.runs import Run
from tracking.studies import (
    SearchSpace,
    Trial,
    best_parameters,
    check_space,
    log_study,
    open_study,
    run_trials,
)

SEARCH_SPACE = Path(__file__).with_name("search_space.json")


@dataclass(frozen=True, kw_only=True)
class TuneConfig(TrainingOptions):
    """Flags of ``tune``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    trials: int = 20
    """Finished trials the study holds in the end."""
    study: str = "fundus-sex"
    """Name of the study; the same name goes on with it."""
    storage: str = ""
    """Database of studies, sqlite:///FILE or postgresql+psycopg://…; optuna.db here if empty."""
    space: str = ""
    """JSON file of ranges and choices to draw from; experiments/search_space.json if empty."""
    timeout: float = 0.0
    """Seconds after which no trial begins; 0 is no limit."""
    arch: str = "resnet50"
    """Torchvision backbone."""
    head_hidden: int = 256
    """Width of the layer between the backbone and the logit."""
    weights: str = "imagenet"
    """Start weights: imagenet (downloaded by torchvision), none, or a state-dict file."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if self.trials < 1:
            raise InputError(f"trials={self.trials}: must be at least 1")
        if self.timeout < 0:
            raise InputError(f"timeout={self.timeout}: must be 0 or more")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("tune", TuneConfig, tune, argv)


def tune(config: TuneConfig, run: Run) -> Mapping[str, Any]:
    """Run trials until the study is full; hand back and record the best parameters."""
    space = read_space(config)
    dataset = read_dataset(run, config.dataset, context="tune")
    study = open_study(config.study, config.storage, seed=config.seed)
    with progress("tune", "trial") as on_trial:
        run_trials(
            study,
            lambda trial: _val_auroc(trial, config, space, dataset),
            trials=config.trials,
            timeout=config.timeout or None,
            on_trial=lambda trial: on_trial(trial.number + 1, config.trials),
        )
    log_study(study, run)
    best = best_parameters(study)
    run.log_json(best, "best_parameters.json")
    run.log_metrics({"best_val_auroc": study.best_value})
    sys.stdout.write(
        f"best val_auroc {study.best_value:.3f} with {json.dumps(best)}\n"
        f"train with it: -P tuned={run.artifact_uri('best_parameters.json')}\n"
    )
    return best


def read_space(config: TuneConfig) -> SearchSpace:
    """Read the search space and hold it to the flags of a training.

    Raises:
        InputError: The file is no JSON object or names what is no training parameter.
        TrackingError: An entry is neither a range nor a list of choices.
    """
    path = Path(config.space).expanduser() if config.space else SEARCH_SPACE
    try:
        space = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"space={path}: not a readable JSON file ({error})") from error
    known = {field.name for field in dataclasses.fields(TrainingOptions)} | {"head_hidden"}
    if not isinstance(space, dict) or not space or not set(space) <= known:
        raise InputError(f"space={path}: must be an object with keys among {sorted(known)}")
    check_space(space)
    return space


def _val_auroc(
    trial: Trial, config: TuneConfig, space: SearchSpace, dataset: FundusDataset
) -> float:
    drawn = dataclasses.replace(config, **trial.suggest(space))

    def on_epoch_end(row: Mapping[str, float]) -> None:
        trial.run.log_epoch(row)
        trial.report(row["val_auroc"], int(row["epoch"]))

    fitted = fit(
        start_classifier(drawn, dataset),
        dataset.split("train"),
        dataset.split("val"),
        drawn,
        on_epoch_end=on_epoch_end,
    )
    return float(fitted.history["val_auroc"].max())


if __name__ == "__main__":
    main()
