"""Masks that people drew, in files named like photographs: they go before what is found."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError, Refused, listed
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.photographs import read_file
from fundus_ml.imaging.regions.structures import Mask

PARTS_DRAWN: Mapping[str, float] = {"disc": 0.1, "cup": 0.1, "vessels": 0.35}
"""Subfolders of masks, each with the largest share of a frame that its part can fill."""
PICTURES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Endings of masks: formats that keep every level."""
OTHER_PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".webp", ".avif", ".heic", ".ppm", ".pgm",
    ".pbm", ".pnm", ".tga", ".svg", ".dcm",
)  # fmt: skip
"""Endings of pictures that are not read; any other file is no picture and is passed over."""
REASON = "mask"

BETWEEN = (0.2, 0.8)
"""Shares of a mask's highest level between which a level is neither black nor white."""
EVEN = 0.05
"""Share of that level by which an area of one level may vary over three pixels: a soft border, of
a pixel or two, varies more."""
THIRD_LEVEL = 0.05
"""Share of what is not black that an area of a third level may fill."""


class MaskFolder:
    """Masks by photograph: ``disc/``, ``cup/``, ``vessels/`` with files named like theirs.

    A file belongs to the photograph whose name without ending it has, alone or followed by ``_``
    and more (``1_left.png``, ``1_left_disc.png``). White is the part, black the rest.

    Args:
        folder: Holds one or more of the subfolders of :data:`PARTS_DRAWN`.
        stems: Names without ending of all photographs of the release.

    Attributes:
        files: By name of the photograph, by part.

    Raises:
        InputError: The folder holds none of the subfolders, or these no mask, pictures of other
            endings or folders with pictures; or a mask belongs to no photograph, to several of one
            name, or to one that has another mask of that part.
    """

    def __init__(self, folder: Path, stems: Iterable[str]) -> None:
        there = [part for part in PARTS_DRAWN if (folder / part).is_dir()]
        if not there:
            raise InputError(
                f"regions={folder}: holds no folder {', '.join(PARTS_DRAWN)}; allowed: yes, no, or "
                "a folder with these, masks named like their photographs"
            )
        named = Counter(stems)
        self.files: dict[str, dict[str, Path]] = {}
        strays: list[str] = []
        for part in there:
            for file in _mask_files(folder, part):
                stem = _belonging(file.stem, named)
                if stem is None:
                    strays.append(f"{part}/{file.name}")
                elif named[stem] > 1:
                    raise InputError(
                        f"regions={folder}: {part}/{file.name} belongs to {named[stem]} "
                        f"photographs named {stem}; give these names of their own"
                    )
                elif part in self.files.setdefault(stem, {}):
                    raise InputError(
                        f"regions={folder}: {part}/{file.name} and {self.files[stem][part].name} "
                        f"both belong to {stem}"
                    )
                else:
                    self.files[stem][part] = file
        if strays:
            raise InputError(f"regions={folder}: masks of no photograph here: {listed(strays)}")
        if not self.files:
            raise InputError(
                f"regions={folder}: no mask in {', '.join(there)}; allowed: {', '.join(PICTURES)}"
            )


def _mask_files(folder: Path, part: str) -> list[Path]:
    """Files of the masks of one part, in order.

    Raises:
        InputError: Another picture is there, or a folder that holds pictures.
    """
    masks = []
    for file in sorted((folder / part).iterdir()):
        ending = file.suffix.lower()
        if ending in PICTURES:
            masks.append(file)
        elif ending in OTHER_PICTURES:
            raise InputError(
                f"regions={folder}: {part}/{file.name}: this ending is not read as a mask; "
                f"allowed: {', '.join(PICTURES)}"
            )
        elif file.is_dir() and any(
            each.suffix.lower() in PICTURES + OTHER_PICTURES for each in file.rglob("*")
        ):
            raise InputError(
                f"regions={folder}: {part}/{file.name}: holds pictures; the masks of a part lie "
                f"in {part} itself"
            )
    return masks


def _belonging(name: str, stems: Container[str]) -> str | None:
    """The longest name of a photograph that begins a mask's name."""
    while name:
        if name in stems:
            return name
        name, _, _ = name.rpartition("_")
    return None


def read_masks(files: Mapping[str, Path], *, width: int, height: int) -> dict[str, Mask]:
    """Read the masks of one photograph.

    Args:
        files: By part.
        width: Width of the photograph, pixels.
        height: Its height.

    Returns:
        ``(height, width)`` by part; True is the part.

    Raises:
        Refused: A file is no picture, has another size, is empty, holds an area of a third level,
            as one that shows disc and cup does, or marks more of the frame than the part can fill,
            as inverted masks do.
    """
    masks = {}
    for part, file in files.items():
        drawn = _grey_levels(part, file)
        if drawn.shape != (height, width):
            told = f"{drawn.shape[1]} x {drawn.shape[0]} pixels, its photograph {width} x {height}"
            raise Refused(REASON, f"{part}: {told}")
        mask = drawn > int(drawn.max()) / 2
        share = float(mask.mean())
        if not share:
            raise Refused(REASON, f"{part}: marks nothing")
        if _third_level(drawn) > THIRD_LEVEL:
            raise Refused(REASON, f"{part}: holds more than two levels; one part a file")
        if share > PARTS_DRAWN[part]:
            told = f"marks {share:.0%} of the frame, at most {PARTS_DRAWN[part]:.0%} are allowed"
            raise Refused(REASON, f"{part}: {told}; white is the part, black the rest")
        masks[part] = mask
    return masks


def _third_level(drawn: NDArray[np.uint8]) -> float:
    """Share of what is not black that lies inside areas of one level between black and white."""
    highest = int(drawn.max())
    low, high = (share * highest for share in BETWEEN)
    around = np.ones((3, 3), np.uint8)
    even = cv2.subtract(cv2.dilate(drawn, around), cv2.erode(drawn, around)) <= EVEN * highest
    third = even & (drawn > low) & (drawn < high)
    return float(third.sum() / np.count_nonzero(drawn))


def _grey_levels(part: str, file: Path) -> NDArray[np.uint8]:
    content = np.frombuffer(read_file(file), np.uint8)
    try:
        drawn = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # an empty file, more pixels than OpenCV reads
        drawn = None
    if drawn is None:
        raise Refused(REASON, f"{part}: no picture")
    return np.asarray(drawn, np.uint8)
