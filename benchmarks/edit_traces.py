"""Does an edit leave a trace beside the quantity it edits? Sharpness of the classes it renders.

    python -m benchmarks.edit_traces --dataset FOLDER --out DIR --side 128 --csv edit_traces.csv

A warp interpolates: what it enlarges gets blurred, what it makes smaller sharpened, and a network
may read that. Every eye of a test person is rendered as both classes at the strength at which an
oracle of the edited quantity reaches the AUROC asked for. Sharpness is the logarithm of the mean
squared Laplacian of green within the edit's support. Says, at the dataset's size and of eyes shrunk
to `--side` after the edit, how well sharpness alone tells the classes (AUROC, either way round), of
eyes apart and of the two renderings of one eye beside each other.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.edited_eyes import edit_strengths, first_people, parts_of, shrunk, shrunk_masks
from fundus_ml.data.opening import open_dataset
from fundus_ml.imaging.opencv import cv2
from fundus_ml.statistics.clustered import auroc
from fundus_ml.synthesis.edits import EDITS, EditedParts, cannot_edit, edit, support

GREEN = 1
TINY = 1e-3
CLASSES = (-1, 1)


def main(argv: Sequence[str] | None = None) -> None:
    """Print and keep the table."""
    given = _given(argv)
    eyes = first_people(open_dataset(given.dataset), given.people)
    strengths = edit_strengths([given.auroc], given.out, eyes, people=given.calibrate)
    test = eyes.split("test")
    test = test.select(~test.frame["person_group"].duplicated().to_numpy())
    pixels, parts = test.pixels(np.arange(len(test))), parts_of(test)
    rows = [
        row
        for name in tqdm(EDITS[:-1], desc="traces")
        for row in trace_rows(
            name,
            pixels,
            parts,
            strength=strengths[given.auroc][name],
            sides=(eyes.size, given.side),
        )
    ]
    table = pd.DataFrame(rows).assign(oracle_auroc=given.auroc)
    print(table.to_string(index=False, float_format="%.3g"))
    if given.csv is not None:
        table.to_csv(given.csv, index=False, float_format="%.4g")


def _given(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="folder preprocessed with regions")
    parser.add_argument("--out", type=Path, required=True, help="folder of the strengths")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--auroc", type=float, default=0.85)
    parser.add_argument("--side", type=int, required=True, help="of the shrunk eyes, pixels")
    parser.add_argument("--people", type=int, default=0, help="of each split at most; 0 is all")
    parser.add_argument("--calibrate", type=int, default=400, help="people that set the strengths")
    return parser.parse_args(argv)


def trace_rows(
    name: str,
    pixels: NDArray[np.uint8],
    parts: Sequence[EditedParts],
    *,
    strength: float,
    sides: Sequence[int],
) -> list[dict[str, object]]:
    """Say how well sharpness tells the classes of one edit, a row per side.

    Args:
        name: The edit.
        pixels: ``(N, H, W, 3)`` uint8.
        parts: Parts of each eye.
        strength: Strength of the edit.
        sides: Sides to which the eyes are shrunk after it, pixels.
    """
    kept = [at for at, each in enumerate(parts) if cannot_edit(name, each) is None]
    where = np.stack([support(name, parts[at]) for at in kept])
    rendered = [
        np.stack([edit(name, pixels[at], parts[at], strength=sign * strength) for at in kept])
        for sign in CLASSES
    ]
    labels = np.repeat([0.0, 1.0], len(kept)).astype(np.float32)
    rows: list[dict[str, object]] = []
    for side in sides:
        masks = shrunk_masks(where, side)
        first, second = (sharpness(shrunk(each, side), masks) for each in rendered)
        apart = float(auroc(labels, np.concatenate([first, second]).astype(np.float32)))
        paired = float(np.mean(second > first) + np.mean(second == first) / 2)
        rows.append(
            {
                "edit": name,
                "side": side,
                "eyes": len(kept),
                "auroc": max(apart, 1 - apart),
                "paired": max(paired, 1 - paired),
            }
        )
    return rows


def sharpness(pixels: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logarithm of the mean squared Laplacian of green within ``(N, H, W)`` masks, ``(N,)``."""
    return np.array(
        [
            np.log(
                np.mean(cv2.Laplacian(eye[..., GREEN].astype(np.float32), cv2.CV_32F)[mask] ** 2)
                + TINY
            )
            for eye, mask in zip(pixels, where, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
