"""What the trainings share: a measured end, a registered version."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from torch import nn

from experiments.recording.model_card import refresh_card
from experiments.recording.options import ScoreOptions
from experiments.recording.serving import photograph_service, scoring_options
from experiments.recording.split_scores import check_splits_to_score, score_split
from experiments.running.console import say
from experiments.running.replicates import Trained
from experiments.running.session import part_tags
from fundus_ml.data.contrasts import Contrast
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import TRUE
from fundus_ml.data.training_eyes import training_eyes, write_training_eyes
from fundus_ml.evaluation.scores import CLEAN
from fundus_ml.figures import training_curves
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.weights import save_classifier
from fundus_ml.training import Fitted
from fundus_ml.training.distribution import from_first
from tracking.registry import ModelVersion, register_classifier
from tracking.runs import Run, metric_name
from tracking.version_files import TRAINING_EYES
from tracking.versions import CLASSES_TAG

PREDICTED = ("image_id", "person_group", "label", "logit")
"""What a training hands back of each test eye."""


def check_splits(dataset: FundusDataset, *, bootstrap: int) -> None:
    """Refuse a dataset that could be trained on but not measured, before the training.

    Raises:
        InputError: The test split is empty, holds one class only or too few people, or the
            validation split is empty or holds one class only.
    """
    check_splits_to_score(dataset, "test", bootstrap=bootstrap)


def contrast_tags(contrast: Contrast) -> dict[str, str]:
    """Say of a version what its logit answers: below 0 the first class, above it the second."""
    classes = json.dumps(contrast.classes, ensure_ascii=False)
    return {"contrast": contrast.name, CLASSES_TAG: classes}


def register_fitted(
    run: Run,
    name: str,
    fitted: Fitted,
    dataset: FundusDataset,
    *,
    options: ScoreOptions,
    tags: Mapping[str, str],
    alias: str | None,
    parent: ModelVersion | None = None,
    scored: tuple[nn.Module, FundusDataset] | None = None,
) -> Trained:
    """Measure a fitted network on the test split and register it with what was found.

    Args:
        run: The open run that trained it.
        name: Registered name.
        fitted: Its best epoch.
        dataset: The dataset it was trained on; its test split is scored.
        options: How to score it.
        tags: What a reader of the registry must know; ``dataset_digest`` is added.
        alias: Moves to the new version; None moves none.
        parent: The version it was trained from.
        scored: The same network from stored features, and the validation and test eyes as it reads
            them; the fitted network and pixels if None.
    """
    run.log_figure(training_curves(fitted.history, best_by=fitted.criterion), "training_curves.png")
    model, stored = (fitted.model, None) if scored is None else scored
    measured = score_split(
        run, model, dataset, split="test", options=options, name=name, stored=stored
    )
    chosen = fitted.history.set_index("epoch")[fitted.criterion]
    metrics = measured.metrics | {
        metric_name(f"best_{fitted.criterion}"): float(chosen[fitted.best_epoch]),
        "best_epoch": float(fitted.best_epoch),
        "seconds_per_step": fitted.seconds_per_step,
    }
    version = from_first(
        lambda: register_model(
            run,
            name,
            fitted.model,
            metrics=metrics,
            tags={
                "dataset_digest": dataset.digest,
                **contrast_tags(dataset.contrast),
                **measured.tags,
                **_chosen_from(run, fitted),
                **tags,
            },
            alias=alias,
            parents=[] if parent is None else [parent],
            eyes=dataset.frame,
            answers=dataset,
        )
    )
    predicted = measured.predicted
    return Trained(
        version=version,
        seconds_per_step=fitted.seconds_per_step,
        predicted=predicted.loc[predicted["attack"] == CLEAN, list(PREDICTED)],
        best=float(chosen[fitted.best_epoch]),
    )


def _chosen_from(run: Run, fitted: Fitted) -> dict[str, str]:
    """Say among how many epochs and trials the network did best, and on which split."""
    epochs = {"epoch_chosen_from": f"{len(fitted.history)} epochs by {fitted.criterion} on val"}
    trials = run.tag("settings_chosen_from")
    return epochs | ({"settings_chosen_from": trials} if trials else {})


def register_model(
    run: Run,
    name: str,
    model: nn.Module,
    *,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    alias: str | None,
    eyes: pd.DataFrame,
    parents: Sequence[ModelVersion] = (),
    answers: FundusDataset | None = None,
) -> ModelVersion:
    """Register a classifier with what was measured on it, and say so.

    Args:
        run: The open run that made it.
        name: Registered name.
        model: A :class:`Classifier`.
        metrics: Linked to the version.
        tags: What a reader of the registry must know.
        alias: Moves to the new version; None moves none.
        eyes: Manifest rows of its dataset; those it learned from or was chosen by are kept with it.
        parents: The version it was trained from, or those it is the average of.
        answers: What it was asked, and how its eyes were cut: lets MLflow answer raw photographs
            with it. None for a network whose logit means nothing yet. A null model, which nobody
            serves, answers none and carries no exported program; nor does one that knows a part
            of the eye answer photographs, for that part has to be found first.
    """
    assert isinstance(model, Classifier)
    learned = tags.get("labels", TRUE)
    part = {} if answers is None else part_tags(answers.crop)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        service = None
        if answers is not None and learned == TRUE and not part:
            service = stack.enter_context(photograph_service(scoring_options(answers, tags)))
        save_classifier(model, Path(folder))
        write_training_eyes(training_eyes(eyes), Path(folder) / Path(TRAINING_EYES).name)
        version = register_classifier(
            run,
            name,
            model=model,
            files=Path(folder),
            metrics=metrics,
            tags={
                "arch": model.spec.arch,
                "size": str(model.spec.size),
                **part,
                **tags,
            },
            aliases=[] if alias is None else [alias],
            parents=parents,
            side=model.only_side,
            service=service,
            program=learned == TRUE,
        )
    if answers is not None:
        refresh_card(run, version)
    named = "without an alias" if alias is None else f"as {alias}"
    say(f"registered {version.uri} {named}")
    return version
