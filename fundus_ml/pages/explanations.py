"""One page to flip through explanation methods on the same eyes; it asks for nothing."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.attributions import of_its_largest
from fundus_ml.figures.changes import SIGNED_MAP
from fundus_ml.figures.inputs import check_columns, check_pictures
from fundus_ml.figures.style import REGION_STYLES
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.pages.template import rendered

SIDE = 192
"""Side to which pictures and maps are reduced for the page, pixels; PNG panels keep their own."""
ZERO = 128
"""Grey value of a map's 0; 1 and 255 are its largest for either class."""
COLOUR_STEPS = 256
EYE_COLUMNS = ("image_id", "class", "eye", "prob")
OUTLINE_WIDTH = 1


@dataclass(frozen=True, kw_only=True)
class MappedEyes:
    """Maps of one version over the same eyes.

    Attributes:
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        maps: ``(N, H, W)`` float32 signed maps by method.
        regions: ``(N, H, W)`` uint8 region maps, or None.
    """

    pixels: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    regions: NDArray[np.uint8] | None = None


def explanations_page(
    *,
    title: str,
    words: str,
    eyes: pd.DataFrame,
    explained: MappedEyes,
    classes: tuple[str, str],
    scores: pd.DataFrame | None = None,
    controls: Sequence[str] = (),
) -> str:
    """Write a page that lays each method's map over each eye.

    Args:
        title: Title of the page.
        words: One line: version, dataset, split.
        eyes: N rows: ``image_id class eye prob``; ``prob`` is P(second class).
        explained: Pixels and maps of those eyes.
        classes: The two answers of the contrast.
        scores: Long form ``image_id method score part value``, shown beside each eye; None shows
            none.
        controls: Methods that ask no network; the page says so.

    Returns:
        HTML, self-contained; every value given is escaped.

    Raises:
        InputError: Eyes, pixels and maps do not belong together, or there is no map.
    """
    check_columns(eyes, EYE_COLUMNS)
    check_pictures("pixels", explained.pixels)
    if not explained.maps:
        raise InputError("maps: none is given")
    shape = explained.pixels.shape[:3]
    shapes = {method: each.shape for method, each in explained.maps.items()}
    if explained.regions is not None:
        shapes["regions"] = explained.regions.shape
    for name, found in shapes.items():
        if found != shape:
            raise InputError(f"{name}: {found} given for pixels {shape}")
    if len(eyes) != shape[0]:
        raise InputError(f"eyes: {len(eyes)} rows for {shape[0]} pictures")
    methods = list(explained.maps)
    stacked = np.stack([of_its_largest(explained.maps[method]) for method in methods], axis=1)
    facts = [
        {
            "id": str(row["image_id"]),
            "class": str(row["class"]),
            "eye": str(row["eye"]),
            "prob": round(float(row["prob"]), 4),
            "picture": _png(_reduced(explained.pixels[place])),
            "maps": _png(_strip(stacked[place])),
            "outlines": ""
            if explained.regions is None
            else _png(_outlines(explained.regions[place])),
            "scores": _scores_of(scores, str(row["image_id"])),
        }
        for place, row in enumerate(eyes.to_dict("records"))
    ]
    colours = colormaps[SIGNED_MAP](np.linspace(0, 1, COLOUR_STEPS))
    return rendered(
        "explanations.html",
        title=title,
        words=words,
        given={
            "eyes": facts,
            "methods": [{"name": each, "control": each in controls} for each in methods],
            "classes": list(classes),
            "side": _side_of(explained.pixels[0]),
            "colours": [[round(255 * float(part)) for part in each[:3]] for each in colours],
        },
        legend={name: to_hex(colour) for name, (colour, _) in REGION_STYLES.items()}
        if explained.regions is not None
        else {},
    )


def _scores_of(scores: pd.DataFrame | None, image_id: str) -> dict[str, dict[str, float | None]]:
    """Values of one eye by method and score, the part in the score's name."""
    if scores is None:
        return {}
    found: dict[str, dict[str, float | None]] = {}
    for row in scores[scores["image_id"] == image_id].to_dict("records"):
        name = " ".join(filter(None, (str(row["score"]), str(row["part"])))).replace("_", " ")
        value = float(row["value"])
        found.setdefault(str(row["method"]), {})[name] = (
            round(value, 4) if pd.notna(value) else None
        )
    return found


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = _side_of(picture)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _side_of(picture: NDArray[np.uint8]) -> int:
    return min(SIDE, len(picture))


def _strip(maps: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Put the maps of one eye below one another, 0 as :data:`ZERO`."""
    side = min(SIDE, maps.shape[1])
    small = [cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in maps]
    grey = np.rint(ZERO + (ZERO - 1) * np.clip(np.concatenate(small), -1, 1))
    return np.asarray(grey, np.uint8)


def _outlines(regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the structures' borders in their colours, ``(side, side, 4)`` uint8 RGBA."""
    side = _side_of(regions)
    drawn = np.zeros((side, side, 4), np.uint8)
    for name, (colour, _) in REGION_STYLES.items():
        mask = _reduced((regions & REGION_FLAGS[name] > 0).astype(np.uint8))
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        cv2.drawContours(drawn, found, -1, (*rgb, 255), OUTLINE_WIDTH)
    return drawn


def _png(picture: NDArray[np.uint8]) -> str:
    """Encode grey, RGB or RGBA in base64."""
    reordered = picture if picture.ndim == 2 else picture[..., [2, 1, 0, 3][: picture.shape[2]]]  # noqa: PLR2004 (grey)
    content = cv2.imencode(".png", np.ascontiguousarray(reordered))[1]
    return b64encode(content.tobytes()).decode("ascii")
