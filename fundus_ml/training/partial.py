"""Learning above frozen layers, from what these make of each eye once."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.frozen import TrainedPart, cut
from fundus_ml.models.options import BACKBONE
from fundus_ml.training.checkpoints import Checkpoints
from fundus_ml.training.classification import SexObjective, check_both_sexes
from fundus_ml.training.engine import Fitted, OnEpochEnd, OnStep, learn
from fundus_ml.training.objective import Batch
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.stored_features import FeatureDataset, OnStored, store_features

STORABLE = ("none", "flip")
"""Augmentations whose views can all be stored."""


class FeatureObjective(SexObjective):
    """Cross-entropy of the sex from stored features: a flip picks the other view of an eye."""

    def augmented(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Pick one view of each eye, ``(n, 2, D)`` to ``(n, D)``."""
        drawn = torch.randint(2, (batch.of,), generator=generator)
        view = drawn[batch.first : batch.first + len(batch.images)].to(batch.images.device)
        if self.options.augment == "none":
            view = torch.zeros_like(view)
        return batch.images[torch.arange(len(view), device=view.device), view]


def why_not_stored(options: TrainingOptions, classifier: Classifier, *, side: int) -> str:
    """Say why the frozen layers must run in every epoch; empty where once is enough."""
    if options.freeze in ("none", "batchnorm"):
        return f"freeze={options.freeze}"
    if options.augment not in STORABLE:
        return f"augment={options.augment} changes what the frozen layers see in every epoch"
    if cut(classifier, options.freeze, side=side) is None:
        return f"arch={classifier.spec.arch} cannot be cut at freeze={options.freeze}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Above:
    """What is left to learn once the frozen layers have seen every eye.

    Attributes:
        trained: Copy of the layers that learn.
        train: Stored features of the eyes to learn from.
        val: Stored features of the eyes that choose the epoch.
    """

    trained: TrainedPart
    train: FeatureDataset
    val: FeatureDataset


def store_below(
    classifier: Classifier,
    train: FundusDataset,
    val: FundusDataset,
    options: TrainingOptions,
    *,
    within: Path,
    on_stored: OnStored | None = None,
) -> Above:
    """Cut ``classifier`` above its frozen layers and store what these make of each eye.

    Args:
        classifier: Where :func:`why_not_stored` has nothing to say; left as it is.
        train: Eyes to learn from.
        val: Eyes that choose the epoch.
        options: How to learn.
        within: Folder of the stored features.
        on_stored: Called with (eyes done, eyes in all).

    Raises:
        InputError: A split holds one class only, or from :func:`.stored_features.store_features`.
    """
    check_both_sexes("train", train)
    check_both_sexes("val", val)
    parts = cut(classifier, options.freeze, side=train.size)
    assert parts is not None
    frozen, trained = parts
    stored = []
    for before, eyes in ((0, train), (len(train), val)):

        def advance(done: int, _total: int, before: int = before) -> None:
            if on_stored is not None:
                on_stored(before + done, len(train) + len(val))

        features = store_features(
            frozen, eyes, within=within, batch_size=options.batch_size, on_stored=advance
        )
        stored.append(features)
    return Above(trained=trained, train=stored[0], val=stored[1])


def scored_above(
    classifier: Classifier,
    dataset: FundusDataset,
    options: TrainingOptions,
    *,
    within: Path,
    on_stored: OnStored | None = None,
) -> tuple[TrainedPart, FeatureDataset]:
    """Make a trained classifier score what is stored of the eyes that it did not learn from.

    Args:
        classifier: Trained by :func:`fit_above`, so that its frozen layers are those of others.
        dataset: Eyes of all splits.
        options: How it learned.
        within: Folder of the stored features.
        on_stored: Called with (eyes done, eyes in all).

    Returns:
        A network that scores stored features as the classifier does pixels, up to their rounding to
        half precision; the validation and test eyes.

    Raises:
        InputError: From :func:`.stored_features.store_features`.
    """
    held = dataset.select(dataset.frame["split"].ne("train").to_numpy())
    parts = cut(classifier, options.freeze, side=dataset.size)
    assert parts is not None
    frozen, trained = parts
    stored = store_features(
        frozen, held, within=within, batch_size=options.batch_size, on_stored=on_stored
    )
    return trained.eval(), stored


def fit_above(
    classifier: Classifier,
    above: Above,
    options: TrainingOptions,
    *,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Fitted:
    """Train what lies above the frozen layers of ``classifier``, in place.

    The result is that of :func:`fundus_ml.training.classification.fit` up to the rounding of the
    stored features to half precision, in a fraction of the time.

    Args:
        classifier: Was cut by :func:`store_below`.
        above: What that gave.
        options: How to learn.
        checkpoints: As in ``fit``.
        on_step: As in ``fit``.
        on_epoch_end: As in ``fit``.

    Raises:
        InputError: From :func:`fundus_ml.training.engine.learn`.
    """
    head_epochs = 0 if options.freeze == BACKBONE else options.head_epochs
    how = replace(options, freeze="none", head_epochs=head_epochs)
    fitted = learn(
        above.trained,
        above.train,
        FeatureObjective(train=above.train, val=above.val, options=how),
        how,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )
    above.trained.give_back(classifier)
    return replace(fitted, model=classifier.eval())
