"""The two pictures of each trial, and what makes a catch trial one that nobody misses."""

from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import read_png
from fundus_ml.reader_study.drawing import CATCH, ORIGINAL, PRACTICE

BLUR = 0.06
"""Standard deviation of the blur of a catch trial, in widths of the picture."""
CHOOSE = "Attention check: choose the picture on the {side}."

Picture = NDArray[np.uint8]


def read_pairs(trials: pd.DataFrame, folder: Path) -> list[tuple[Picture, Picture]]:
    """Read the left and the right picture of every trial.

    A catch trial and the practice pair show their eye mirrored, so that they give nothing away of
    the same eye in another trial. Where the question is ``changed`` the right picture of a catch
    trial is blurred beyond doubt; where it is ``female`` both are the same and :func:`prompt_of`
    says which to choose.

    Args:
        trials: As :func:`~fundus_ml.reader_study.drawing.draw_trials` returns them.
        folder: The modulation's.

    Returns:
        Per trial, two ``(H, W, 3)`` uint8 RGB pictures of one size.

    Raises:
        InputError: A picture is missing or unreadable, or two of a pair differ in size.
    """
    pairs = []
    for row in trials.to_dict("records"):
        truth = _read(folder, str(row["truth_picture"]))
        other = _read(folder, str(row["other_picture"]))
        if truth.shape != other.shape:
            raise InputError(
                f"{row['truth_picture']}: {truth.shape[:2]} pixels, but {row['other_picture']} has "
                f"{other.shape[:2]}; the two of a pair must have one size"
            )
        if row["condition"] in (CATCH, PRACTICE):
            truth, other = np.fliplr(truth), np.fliplr(other)
        if row["condition"] == CATCH and row["question"] == "changed":
            truth = blurred(truth)
        pairs.append((truth, other) if row["side_of_truth"] == "left" else (other, truth))
    return pairs


def prompt_of(row: Mapping[Hashable, object]) -> str:
    """What stands above the pictures of a trial in place of the question; empty for most."""
    if row["condition"] != CATCH or row["question"] == "changed":
        return ""
    return CHOOSE.format(side=row["side_of_truth"])


def blurred(picture: Picture) -> Picture:
    """Blur ``(H, W, 3)`` uint8 so far that no vessel is left."""
    sigma = BLUR * picture.shape[1]
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigmaX=sigma), np.uint8)


def _read(folder: Path, path: str) -> Picture:
    if path.endswith(ORIGINAL) and not (folder / path).is_file():
        raise InputError(
            f"{path}: missing; modulations made before unchanged eyes were kept have none, so "
            "modulate again"
        )
    return read_png(folder / path)
