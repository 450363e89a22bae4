"""Several registered versions at once: read, told what they have seen, scored on the same eyes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.running.addresses import addresses
from experiments.running.console import progress, warn
from experiments.running.session import read_model
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier
from fundus_ml.training import predict
from tracking.exposure import UNKNOWN, datasets_seen
from tracking.runs import Run
from tracking.versions import ModelVersion


@dataclass(frozen=True)
class Versions:
    """What a comma list of addresses means now.

    Attributes:
        entries: In the registry, in the order given.
        classifiers: By address.
    """

    entries: tuple[ModelVersion, ...]
    classifiers: dict[str, Classifier]


def read_versions(run: Run, models: str) -> Versions:
    """Rebuild every version of a comma list and record each as the run's input.

    Raises:
        InputError: Two addresses mean one version.
        TrackingError: An address means nothing.
    """
    read = [read_model(run, uri) for uri in addresses(models)]
    entries = tuple(version for _, version in read)
    uris = [version.uri for version in entries]
    for uri in uris:
        if uris.count(uri) > 1:
            raise InputError(f"models={models}: names {uri} twice")
    run.set_tags({"model_version": ",".join(uris)})
    return Versions(entries, {version.uri: classifier for classifier, version in read})


def possibly_trained_on(
    run: Run, versions: Sequence[ModelVersion], dataset: FundusDataset, *, split: str
) -> None:
    """Warn of each version that may have learned from the people it is scored on, and tag the run.

    A version is above suspicion on ``val`` and ``test`` where it and everything it was made from
    was trained on this dataset, or on one of the folders it is put together from none of whose
    training eyes is held out here.
    """
    suspects = []
    for version in versions:
        seen = datasets_seen(version)
        elsewhere = {digest for digest in seen.values() if digest not in dataset.same_training}
        if elsewhere or split == "train":
            suspects.append(version.uri)
            warn(f"{version.uri}: {_why(elsewhere, split)}")
    run.set_tags({"possibly_trained_on": ",".join(suspects) or "none"})


def score_all(
    classifiers: dict[str, Classifier], eyes: FundusDataset, *, batch_size: int
) -> dict[str, NDArray[np.float32]]:
    """Score the same eyes by every classifier, in fp32.

    Returns:
        ``(len(eyes),)`` logits of each, by address.
    """
    logits = {}
    for uri, classifier in classifiers.items():
        with progress(uri, "eye") as on_step:
            scored = predict(
                classifier, eyes, batch_size=batch_size, precision="fp32", on_step=on_step
            )
        logits[uri] = scored.numpy()
    return logits


def logits_on_split(
    classifier: Classifier, dataset: FundusDataset, *, split: str, batch_size: int
) -> NDArray[np.float64]:
    """Score one split of a dataset.

    Returns:
        ``(len(dataset),)`` logits, NaN for the eyes of other splits.

    Raises:
        InputError: No split is called so, or no eye is in it.
    """
    eyes = dataset.split(split)
    logits = np.full(len(dataset), np.nan)
    scored = score_all({"score": classifier}, eyes, batch_size=batch_size)
    logits[dataset.frame["split"].eq(split).to_numpy()] = scored["score"]
    return logits


def _why(elsewhere: set[str], split: str) -> str:
    if split == "train":
        return "the training split is scored, which would flatter it"
    known = sorted(digest[:12] for digest in elsewhere if digest != UNKNOWN)
    seen = f"digest {', '.join(known)}" if known else "which one is not known"
    return (
        f"was trained on another dataset than this one ({seen}); people of this {split} split "
        "may be among its training eyes, which would flatter it"
    )
