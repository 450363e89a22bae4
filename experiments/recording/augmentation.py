"""What a training is shown: some of its eyes, as they are and as augmentation changes them."""

import numpy as np
import torch

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.figures import augmentation_sheet
from fundus_ml.imaging.pictures import to_images, to_uint8
from fundus_ml.training import TrainingOptions
from fundus_ml.training.augmentation import augment
from tracking.runs import Run

EYES = 4
VIEWS = 6


def log_augmentation(run: Run, train: FundusDataset, options: TrainingOptions) -> None:
    """Record a sheet of eyes spread over the training split, each in several views."""
    if options.augment == "none" or run.silent:
        return
    rows = np.unique(np.linspace(0, len(train) - 1, EYES).round().astype(int))
    pixels = train.pixels(rows)
    generator = torch.Generator().manual_seed(options.seed)
    views = augment(to_images(np.repeat(pixels, VIEWS, 0)), options.augment, generator=generator)
    figure = augmentation_sheet(
        pixels,
        to_uint8(views).reshape(len(rows), VIEWS, *pixels.shape[1:]),
        train.frame["image_id"].iloc[rows].tolist(),
        title=f"augment={options.augment}: eyes as they are, and as an epoch may show them",
    )
    run.log_figure(figure, "augmentation.png")
