"""Photographs whose vessels were marked by hand, as releases store them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.imaging.field_of_view import FieldOfView, find_field_of_view
from fundus_ml.imaging.opencv import cv2

Mask = NDArray[np.bool_]


class TracedEye(NamedTuple):
    """One photograph and its vessels.

    Attributes:
        image_id: Name within its release.
        person: Whose eye it is, within its release.
        image: ``(H, W, 3)`` uint8 RGB.
        field: Field of view.
        vessels: ``(H, W)`` pixels marked as vessel.
        counted: ``(H, W)`` pixels at which the marks can be relied on: inside the field of view.
        second: ``(H, W)`` what another observer marked, where there is one.
    """

    image_id: str
    person: str
    image: NDArray[np.uint8]
    field: FieldOfView
    vessels: Mask
    counted: Mask
    second: Mask | None = None


def read_drive(folder: Path) -> list[TracedEye]:
    """Read DRIVE's training set.

    Args:
        folder: Holds ``images/21_training.tif`` (or another format), ``1st_manual/21_manual1.gif``
            and ``mask/21_training_mask.gif``.

    Returns:
        Its photographs by number; each is another person's.

    Raises:
        InputError: There is none, a file of one is missing, damaged or of another size.

    Source:
        Staal et al. 2004, IEEE TMI 23:501.
    """
    eyes = []
    for path in _photographs(folder / "images", r"\d\d_training\.\w+", release="DRIVE"):
        number = path.stem[:2]
        image = decode_photograph(path.read_bytes(), least_side=0).image
        shape = image.shape[:2]
        eyes.append(
            TracedEye(
                image_id=path.stem,
                person=number,
                image=image,
                field=find_field_of_view(image),
                vessels=_mask(folder / "1st_manual" / f"{number}_manual1.gif", shape),
                counted=_mask(folder / "mask" / f"{path.stem}_mask.gif", shape),
            )
        )
    return eyes


def read_chase(folder: Path) -> list[TracedEye]:
    """Read CHASE_DB1.

    Args:
        folder: Holds ``Image_01L.jpg``, ``Image_01L_1stHO.png`` and ``Image_01L_2ndHO.png``.

    Returns:
        Its photographs by name, the field of view as found; two are of one person.

    Raises:
        InputError: There is none, a file of one is missing, damaged or of another size.

    Source:
        Fraz et al. 2012, IEEE TBME 59:2538.
    """
    eyes = []
    for path in _photographs(folder, r"Image_\d\d[LR]\.jpg", release="CHASE_DB1"):
        image = decode_photograph(path.read_bytes(), least_side=0).image
        field = find_field_of_view(image)
        first, second = (
            _mask(path.with_name(f"{path.stem}_{observer}HO.png"), image.shape[:2])
            for observer in ("1st", "2nd")
        )
        eyes.append(
            TracedEye(
                image_id=path.stem,
                person=path.stem[6:8],
                image=image,
                field=field,
                vessels=first,
                counted=inside(field, image.shape[:2]),
                second=second,
            )
        )
    return eyes


def inside(field: FieldOfView, shape: tuple[int, int]) -> Mask:
    """``(H, W)`` pixels inside a field of view."""
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    away = np.hypot((across - field.x) / field.aspect, down - field.y)
    return np.asarray(away <= field.radius)


def _photographs(folder: Path, name: str, *, release: str) -> Iterator[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in paths if re.fullmatch(name, path.name)]
    if not found:
        raise InputError(f"{folder}: holds no photograph of {release} (named {name})")
    yield from found


def _mask(path: Path, shape: tuple[int, int]) -> Mask:
    if not path.is_file():
        raise InputError(f"{path}: no such file of marks")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    marks = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    if marks is None:
        raise InputError(f"{path}: not a picture")
    if marks.shape != shape:
        raise InputError(f"{path}: of {marks.shape} pixels, its photograph has {shape}")
    return np.asarray(marks > 127)  # noqa: PLR2004 (half of white)
