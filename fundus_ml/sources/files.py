"""Photographs that are image files: found, read, and refused when cut short."""

from pathlib import Path

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.sources.photographs import Photograph

_PNG_END = b"IEND\xaeB`\x82"

REJECTED_COLUMNS = ("image_id", "reason", "detail")


def load_file(row: dict[str, object], least_side: int) -> Photograph:
    """Read the photograph at ``row["path"]`` upright, as 8-bit RGB.

    Raises:
        InputError: The file cannot be opened, is no image, or ends before the image does.
    """
    path = Path(str(row["path"]))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if _cut_short(content):
        raise InputError(f"{path}: ends before the image does")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path}: not an image OpenCV can read")
    return Photograph(image=np.asarray(image, np.uint8), regions=None)


def rejected_rows(refused: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Table of (image_id, reason, detail), also when nothing was refused."""
    return pd.DataFrame(refused, columns=list(REJECTED_COLUMNS), dtype="str")


def _cut_short(content: bytes) -> bool:
    # OpenCV fills what is missing with grey and says nothing. In JPEG's coded data no marker can
    # occur, so a whole file has its end marker after the last start of a scan.
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") < max(content.rfind(b"\xff\xda"), 0)
    return content.startswith(b"\x89PNG") and _PNG_END not in content
