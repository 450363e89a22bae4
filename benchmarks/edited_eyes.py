"""Real eyes whose pixels are edited, who they belong to, and how strong each edit must be.

Eyes are edited at the dataset's size and shrunk afterwards: a warp interpolates, which blurs what
it enlarges and sharpens what it makes smaller, and a network might read that in a size's place.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.synthesis.edits import EditedParts, parts_of_rows, strengths_for_all

HALF = 0.5


class EditedEyes(FundusDataset):
    """Eyes of a dataset with other pixels, which lie in memory.

    Args:
        eyes: The eyes.
        edited: ``(len(eyes), H, W, 3)`` uint8, of the dataset's size or smaller.
    """

    def __init__(self, eyes: FundusDataset, edited: NDArray[np.uint8]) -> None:
        self.__dict__.update(eyes.__dict__)
        self._eyes, self._edited = eyes, edited
        self.size = edited.shape[1]

    def select(self, rows: ArrayLike) -> Self:
        """Keep the eyes at ``rows``, as :meth:`FundusDataset.select` does."""
        kept = self._positions(rows)
        return type(self)(self._eyes.select(kept), self._edited[kept])

    def pixels(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Give the edited eyes at ``indices``."""
        return self._edited[self._positions(indices)]

    def regions(self, indices: ArrayLike) -> NDArray[np.uint8] | None:
        """Give the region maps at the size of the edited eyes."""
        drawn = self._eyes.regions(indices)
        return None if drawn is None else shrunk_maps(drawn, self.size)


def shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Average ``(N, H, W, 3)`` eyes over the area of each pixel of ``(N, side, side, 3)``."""
    if pixels.shape[1] == side:
        return pixels
    return np.stack([cv2.resize(eye, (side, side), interpolation=cv2.INTER_AREA) for eye in pixels])


def shrunk_maps(drawn: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink ``(N, H, W)`` region maps: a structure is where it covers half of a pixel."""
    if drawn.shape[1] == side:
        return drawn
    found = np.zeros((len(drawn), side, side), np.uint8)
    for flag in REGION_FLAGS.values():
        found |= np.where(_covered(drawn & flag > 0, side) >= HALF, np.uint8(flag), np.uint8(0))
    return found


def shrunk_masks(masks: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Shrink ``(N, H, W)`` masks: a pixel belongs to one that covers any of it."""
    return masks if masks.shape[1] == side else _covered(masks, side) > 0


def _covered(masks: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    return np.stack(
        [
            cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
            for mask in masks
        ]
    )


def first_people(eyes: FundusDataset, most: int) -> FundusDataset:
    """Keep the eyes of at most so many people of each split; 0 keeps all."""
    if not most:
        return eyes
    people = eyes.frame.groupby("split")["person_group"].unique()
    kept = {person for named in people for person in named[:most]}
    return eyes.select(eyes.frame["person_group"].isin(kept).to_numpy())


def parts_of(eyes: FundusDataset) -> list[EditedParts]:
    """Read the parts of every eye.

    Raises:
        InputError: The folder was preprocessed without regions.
    """
    maps = eyes.regions(np.arange(len(eyes)))
    if maps is None:
        raise InputError(f"dataset={eyes.name}: holds no regions; preprocess it with regions=yes")
    return parts_of_rows(eyes.frame, maps)


def edit_strengths(
    aurocs: Sequence[float], out: Path, eyes: FundusDataset, *, people: int
) -> dict[float, dict[str, float]]:
    """Calibrate every edit on training people, one eye each; kept in ``out``.

    Args:
        aurocs: AUROCs of the oracle.
        out: Folder of the files ``strengths-AUROC.json``, one an AUROC.
        eyes: All eyes.
        people: Training people at most.

    Returns:
        Strengths by AUROC and edit.
    """
    files = {auroc: out / f"strengths-{auroc:.2f}.json" for auroc in aurocs}
    missing = [auroc for auroc, file in files.items() if not file.is_file()]
    if missing:
        train = eyes.split("train")
        first = np.flatnonzero(~train.frame["person_group"].duplicated().to_numpy())
        chosen = train.select(first[:people])
        pixels = chosen.pixels(np.arange(len(chosen)))
        groups = chosen.frame["person_group"].to_numpy()
        found = strengths_for_all(missing, pixels, parts_of(chosen), groups)
        out.mkdir(parents=True, exist_ok=True)
        for auroc, by_edit in found.items():
            told = {name: dataclasses.asdict(each) for name, each in by_edit.items()}
            write_whole(files[auroc], json.dumps(told, indent=1).encode())
    return {
        auroc: {
            name: float(each["strength"])
            for name, each in json.loads(file.read_text(encoding="utf-8")).items()
        }
        for auroc, file in files.items()
    }


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    half_made = path.with_suffix(".part")
    half_made.write_bytes(content)
    half_made.replace(path)
