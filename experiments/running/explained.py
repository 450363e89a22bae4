"""The eyes that are explained, and the maps of every method, kept as they are made."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.running.comma_lists import comma_list
from experiments.running.console import progress, warn
from experiments.running.identity import identity_of
from experiments.running.kept_folders import kept_folder, kind_of_batches
from experiments.running.session import read_model
from fundus_ml.attribution import METHODS, AttributionOptions, attribute, cannot_serve
from fundus_ml.attribution.methods import VERSION
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import Classifier
from fundus_ml.modulation import choose_eyes
from fundus_ml.modulation.effects import logits_of
from fundus_ml.modulation.keeping import Keep, KeptBatches
from tracking.registry import ModelVersion, resolve
from tracking.runs import Run

AUTO = "auto"
KEPT = kind_of_batches("explanation", r"version-\d+/[a-z_0-9]+\.(npz|part)")
"""A folder of maps that are finished, one file per version and method."""


@dataclass(frozen=True, kw_only=True)
class ExplainedEyes:
    """Chosen eyes.

    Attributes:
        frame: Their N manifest rows.
        pixels: ``(N, H, W, 3)`` uint8.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        labels: ``(N,)`` float32, 0 or 1.
        classes: The two answers.
        digest: Digest of the dataset they come from.
        datasets: Its folders.
    """

    frame: pd.DataFrame
    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    labels: NDArray[np.float32]
    classes: tuple[str, str]
    digest: str
    datasets: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class MethodMaps:
    """What every method says of the eyes, by one version.

    Attributes:
        by_method: ``(N, H, W)`` float32 signed maps.
        seconds: Time each took, per eye, when its maps were made.
        skipped: Why a method was left out, by its name.
        logit: ``(N,)`` the network's answer.
    """

    by_method: dict[str, NDArray[np.float32]]
    seconds: dict[str, float]
    skipped: dict[str, str]
    logit: NDArray[np.float64]


def explained_eyes(split: FundusDataset, *, images: int, seed: int) -> ExplainedEyes:
    """Choose one eye per person, the classes balanced.

    Raises:
        InputError: Too few people.
    """
    classes = split.contrast.classes
    rows = choose_eyes(split.frame, images=images, mode="flip", seed=seed, classes=classes)
    eyes = split.select(rows)
    everyone = np.arange(len(eyes))
    return ExplainedEyes(
        frame=eyes.frame,
        pixels=eyes.pixels(everyone),
        regions=eyes.regions(everyone),
        labels=eyes.labels,
        classes=classes,
        digest=split.digest,
        datasets=split.paths,
    )


def read_explained(run: Run, uris: Sequence[str]) -> list[tuple[Classifier, ModelVersion]]:
    """Read the versions that are explained and record each as an input of the run.

    Raises:
        InputError: One is named twice.
    """
    ids = [resolve(uri).model_id for uri in uris]
    if len(set(ids)) < len(ids):
        raise InputError(f"model={','.join(uris)}: names a version twice")
    # The run is tagged with the version that is read last: the first one.
    return [read_model(run, uri) for uri in reversed(uris)][::-1]


@contextmanager
def kept_explanations(
    kept: str,
    options: AttributionOptions,
    eyes: ExplainedEyes,
    networks: Sequence[tuple[Classifier, ModelVersion]],
    run: Run,
) -> Iterator[Path]:
    """Hand out the folder of maps that outlives a killed run: see :func:`kept_folder`."""
    identity = identity_of(options, ignoring=frozenset()) | {
        "attribution": VERSION,
        "eyes": [eyes.digest, *eyes.frame["image_id"]],
        "versions": [version.content for _, version in networks],
    }
    with kept_folder(KEPT, "explain", kept, identity, run, datasets=eyes.datasets) as folder:
        yield folder


def maps_kept(folder: Path, place: int) -> KeptBatches:
    """Keep the maps of one version in a folder of its own."""
    return KeptBatches(folder / f"version-{place}")


def methods_of(given: str) -> list[str]:
    """Read the flag ``methods``: names with commas between them, or ``auto`` for all.

    Raises:
        InputError: A name is unknown or comes twice, or there is none.
    """
    names = list(METHODS) if given == AUTO else comma_list(given, flag="methods")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InputError(f"methods={unknown[0]}: allowed: auto, {', '.join(METHODS)}")
    if len(set(names)) < len(names):
        raise InputError(f"methods={given}: names a method twice")
    return names


def explain(
    classifier: Classifier,
    eyes: ExplainedEyes,
    methods: Sequence[str],
    options: AttributionOptions,
    *,
    keep: Keep,
    version: str,
) -> MethodMaps:
    """Ask every method that the network can serve; the others are skipped and named.

    Args:
        classifier: Explained network.
        eyes: Chosen eyes.
        methods: Names of methods.
        options: How the methods work.
        keep: Hands out maps that an earlier run made.
        version: The network's name on the console.

    Raises:
        InputError: It can serve none of them.
    """
    reasons = {
        method: cannot_serve(method, classifier, has_regions=eyes.regions is not None)
        for method in methods
    }
    skipped = {method: reason for method, reason in reasons.items() if reason is not None}
    for method, reason in skipped.items():
        warn(f"{version}: {method} is skipped: {reason}")
    if len(skipped) == len(methods):
        raise InputError(f"methods={','.join(methods)}: {version} can serve none of them")
    found: dict[str, NDArray[np.float32]] = {}
    seconds: dict[str, float] = {}
    served = [method for method in methods if method not in skipped]
    with progress(f"explain {version}", "method") as on_step:
        for place, method in enumerate(served, start=1):
            made = keep(method, partial(_timed, partial(_maps, method, classifier, eyes, options)))
            found[method] = np.asarray(made["maps"], np.float32)
            seconds[method] = float(made["seconds"]) / len(eyes.frame)
            on_step(place, len(served))
    logit = logits_of(classifier, eyes.pixels, batch_size=options.batch_size)
    return MethodMaps(by_method=found, seconds=seconds, skipped=skipped, logit=logit)


def _maps(
    method: str, classifier: Classifier, eyes: ExplainedEyes, options: AttributionOptions
) -> NDArray[np.float32]:
    images = to_images(eyes.pixels, next(classifier.parameters()).device)
    maps = attribute(method, classifier, images, options=options, regions=eyes.regions)
    return maps.cpu().numpy()


def _timed(make: Callable[[], NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    begun = time.perf_counter()
    maps = make()
    return {"maps": maps, "seconds": np.array(time.perf_counter() - begun)}
