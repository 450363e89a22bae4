"""What a registered version carries so that MLflow can answer raw photographs with it."""

import base64
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema
from numpy.typing import NDArray

from experiments.running.session import AROUND_TAG
from fundus_ml.data.contrasts import SEX_CONTRAST
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration
from fundus_ml.imaging.options import SHOWS, CropOptions
from fundus_ml.imaging.pictures import png_bytes, to_images
from fundus_ml.models.classifiers import Classifier
from fundus_ml.serving.options import ScoringOptions
from fundus_ml.serving.scoring import ScorePixels
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from tracking.programs import PhotographService
from tracking.registry import service_config
from tracking.versions import ModelVersion

ROOT = Path(__file__).parents[2]
LOADER = "experiments.recording.served_model"
SHIPPED = (
    "experiments/__init__.py",
    "experiments/recording/__init__.py",
    "experiments/recording/__init__.pyi",
    "experiments/recording/served_model.py",
    "fundus_ml/__init__.py",
    "fundus_ml/__init__.pyi",
    "fundus_ml/errors.py",
    "fundus_ml/imaging",
    "fundus_ml/serving",
    "tracking/__init__.py",
    "tracking/__init__.pyi",
    "tracking/archives.py",
    "tracking/errors.py",
    "tracking/programs.py",
    "tracking/version_files.py",
    "tracking/versions.py",
)
"""What :mod:`experiments.recording.served_model` imports, by its path in this project."""
PACKAGES = (
    "lazy-loader",
    "numpy",
    "opencv-python",
    "pandas",
    "pillow",
    "simplejpeg",
    "torch",
)
"""What those files import, by distribution."""
SIGNATURE = ModelSignature(
    # A schema of inputs would refuse paths and pixels, or hand on the first column alone.
    outputs=Schema(
        [
            ColSpec(DataType.double, "probability"),
            ColSpec(DataType.double, "logit"),
            ColSpec(DataType.string, "class"),
            ColSpec(DataType.double, "quality"),
            ColSpec(DataType.string, "flags"),
            ColSpec(DataType.string, "refused"),
        ]
    ),
)


def scoring_options(dataset: FundusDataset, tags: Mapping[str, str]) -> ScoringOptions:
    """Say how a photograph becomes an answer of a version.

    Args:
        dataset: Whose eyes it learned from: cut as these are, asked what they were asked.
        tags: Tags of the version; its temperature and threshold where it carries them.
    """
    contrast = dataset.contrast
    return _with_calibration(contrast.name, contrast.classes, dataset.crop, tags)


def _with_calibration(
    contrast: str, classes: tuple[str, str], crop: CropOptions, tags: Mapping[str, str]
) -> ScoringOptions:
    try:
        calibration = Calibration.from_tags(tags)
    except InputError:
        calibration = Calibration(temperature=1.0, threshold=0.0)
    return ScoringOptions(
        contrast=contrast,
        classes=classes,
        size=crop.size,
        padding=crop.padding,
        surround=crop.surround,
        min_quality=crop.min_quality,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
    )


def scoring_options_of(version: ModelVersion, classifier: Classifier) -> ScoringOptions:
    """Say how a photograph becomes an answer of a registered version.

    One that was registered before versions answered photographs takes eyes cut as by default.

    Raises:
        InputError: It learned from a part of the eye, which has to be found first.
    """
    if around := version.tags.get(AROUND_TAG):
        raise InputError(
            f"model={version.uri}: knows {SHOWS[around]}, not photographs; preprocess them with "
            f"around={around}, then evaluate it on that dataset"
        )
    kept = service_config(version)
    if kept is not None:
        return ScoringOptions.from_plain(kept)
    contrast = version.tags.get("contrast", SEX_CONTRAST.name)
    low, high = version.classes or SEX_CONTRAST.classes
    crop = CropOptions(size=classifier.spec.size)
    return _with_calibration(contrast, (low, high), crop, version.tags)


def pixel_scorer(classifier: Classifier) -> ScorePixels:
    """Let a network answer uint8 eyes where its parameters are."""
    device = next(classifier.parameters()).device

    def score(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = (
                classifier(to_images(pixels, device)).float().cpu().numpy()
            )
        return logits

    return score


@contextmanager
def photograph_service(options: ScoringOptions) -> Iterator[PhotographService]:
    """Gather what a version carries, for as long as it is registered."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in SHIPPED:
            source, copy = ROOT / name, folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, copy)
        yield PhotographService(
            loader=LOADER,
            code=sorted(folder.iterdir()),
            config={**options.plain(), "files_below": ""},
            signature=SIGNATURE,
            example=pd.DataFrame({"photograph": [_painted_eye()]}),
            packages=PACKAGES,
        )


@cache
def _painted_eye() -> str:
    """Base64 of a painted photograph, as an example of what may be sent."""
    row = draw_population(Population(patients=1)).to_dict("records")[0]
    image, _ = paint_photograph({str(name): value for name, value in row.items()})
    return base64.b64encode(png_bytes(image)).decode("ascii")
