"""What every entry point does around its science: open inputs, show progress, register."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pandas as pd
from torch import nn
from tqdm import tqdm

from fundus_ml.attacks import StepSize
from fundus_ml.dataset import FundusDataset, open_dataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation import named_metrics, predictions, scores
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.start_weights import load_start_weights
from fundus_ml.models.weights import save_classifier
from fundus_ml.precision import best_device
from fundus_ml.training import Fitted
from tracking.registry import ModelVersion, load_classifier, register_classifier, resolve
from tracking.runs import DatasetVersion, Run

Progress = Callable[[int, int], None]


def read_dataset(run: Run, paths: str, *, context: str) -> FundusDataset:
    """Open dataset folders and record them as the run's input."""
    dataset = open_dataset(paths)
    run.log_inputs(
        datasets=[
            DatasetVersion(
                name=dataset.name,
                digest=dataset.digest,
                source=paths,
                rows=len(dataset),
                context=context,
            )
        ]
    )
    run.set_tags({"dataset_digest": dataset.digest})
    return dataset


def read_model(run: Run, uri: str) -> tuple[Classifier, ModelVersion]:
    """Rebuild a registered classifier on the best device and record it as the run's input."""
    version = resolve(uri)
    classifier = load_classifier(version.uri)
    assert isinstance(classifier, Classifier)
    run.log_inputs(models=[version])
    run.set_tags({"model_version": version.uri})
    return classifier.to(best_device()), version


def register(
    run: Run,
    name: str,
    classifier: nn.Module,
    *,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    aliases: Sequence[str],
    parent: ModelVersion | None = None,
) -> ModelVersion:
    """Register a trained classifier with its weights, metrics and lineage."""
    assert isinstance(classifier, Classifier)
    with tempfile.TemporaryDirectory() as folder:
        save_classifier(classifier, Path(folder))
        version = register_classifier(
            run,
            name,
            model=classifier.cpu().eval(),
            files=Path(folder),
            metrics=metrics,
            tags=tags,
            aliases=aliases,
            parent=parent,
        )
    sys.stdout.write(f"registered {version.uri} as {', '.join(aliases)}\n")
    return version


class StartConfig(Protocol):
    """What a config says about the network to start from."""

    @property
    def arch(self) -> str: ...
    @property
    def head_hidden(self) -> int: ...
    @property
    def weights(self) -> str: ...
    @property
    def seed(self) -> int: ...


def start_classifier(config: StartConfig, dataset: FundusDataset) -> Classifier:
    """Build the network a training starts from, normalising by the dataset's own channels."""
    spec = ClassifierSpec(
        arch=config.arch,
        head_hidden=config.head_hidden,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
    )
    classifier = make_classifier(spec, seed=config.seed)
    if new := load_start_weights(classifier, config.weights):
        sys.stdout.write(f"weights={config.weights}: start at random: {', '.join(new)}\n")
    return classifier.to(best_device())


def measure(
    run: Run,
    fitted: Fitted,
    dataset: FundusDataset,
    bootstrap: int,
    *,
    eps: Sequence[float],
    constraint: str = "l2",
    attack_steps: int = 1,
    step_size: StepSize = "auto",
) -> dict[str, float]:
    """Measure a fitted network on held-out eyes; log the measures and how the fit went."""
    with progress("measure", "eye") as on_step:
        predicted = predictions(
            fitted.model,
            dataset,
            constraint=constraint,
            eps=eps,
            attack_steps=attack_steps,
            step_size=step_size,
            batch_size=32,
            on_step=on_step,
        )
    table = scores(predicted, resamples=bootstrap, seed=0)
    chosen = fitted.history.set_index("epoch").loc[fitted.best_epoch, fitted.criterion]
    metrics = named_metrics(table, split="test") | {
        fitted.criterion: float(chosen),
        "best_epoch": float(fitted.best_epoch),
        "seconds_per_step": fitted.seconds_per_step,
    }
    run.log_metrics(metrics)
    run.log_table(table, "scores.json")
    show(table)
    return metrics


@contextmanager
def progress(description: str, unit: str) -> Iterator[Progress]:
    """Show a bar; yields a callback that takes (done, in all)."""
    with tqdm(desc=description, unit=unit, file=sys.stderr, dynamic_ncols=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def make_folder(path: str) -> Path:
    """Make the folder that results go to.

    Raises:
        InputError: It cannot be made or written.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"out={path}: cannot be written ({error.strerror})") from error
    return folder


def show(table: pd.DataFrame) -> None:
    """Print a table of results."""
    sys.stdout.write(table.to_string(index=False, float_format="{:.3f}".format) + "\n")
