"""The gallery of a modulation: every eye at every budget on one page that asks for nothing."""

import math
from base64 import b64encode
from typing import TypedDict

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import SIGNED_MAP, change_limit, signed_change
from fundus_ml.figures.inputs import check_pictures
from fundus_ml.imaging.opencv import cv2
from fundus_ml.modulation.effects import SEEN
from fundus_ml.pages.template import rendered
from fundus_ml.statistics.numerals import plain

Picture = NDArray[np.uint8]

LOSSLESS = 101
"""OpenCV's WebP quality above which nothing is lost."""
QUALITIES = (LOSSLESS, 95, 90, 80, 60, 40, 20)
SAMPLED = 8
"""Eyes that the size of a page is estimated from."""
MIDDLE, SPAN = 128, 127
"""A change of 0 is stored as 128; the largest of its picture, as 128 - 127 or 128 + 127."""
COLOUR_STEPS = 129
"""Colours of the difference view, from darker to brighter."""
EYE_COLUMNS = (
    "image_id", "class", "eye", "target", "prob_target_before", "min_norm", "most_changed",
)  # fmt: skip
MEASURES = ("prob_target", "success", "l2", "rms")


class Embedded(TypedDict):
    """Pictures of one eye: WebP in base64, and what 127 stands for in each change."""

    original: str
    changes: list[tuple[str, int]]


def gallery_page(
    *,
    title: str,
    words: str,
    eyes: pd.DataFrame,
    pixels: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    effects: pd.DataFrame,
    largest: int = 60_000_000,
) -> str:
    """Write one self-contained page to look through a modulation, budget by budget.

    A change may be smaller than what compressing its two pictures does to them. Each eye is
    therefore embedded once and each change by itself, spread over 8 bits; the page adds them up,
    and what it blinks between or subtracts differs by the change alone.

    Args:
        title: Title of the page.
        words: One line: version, dataset, constraint, mode, region.
        eyes: N rows: ``image_id class eye target prob_target_before min_norm most_changed``.
            ``min_norm`` is inf where no budget flipped the eye and NaN where none was searched;
            ``most_changed`` is empty where unknown.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        modulated: ``(E, N, H, W, 3)`` uint8, at rising budgets.
        effects: E·N rows, one per eye and budget: ``image_id eps prob_target success l2 rms``.
        largest: Bytes that the page may have.

    Returns:
        HTML with WebP pictures of the best quality that stays below ``largest``, without loss
        where that fits; every value given is escaped.

    Raises:
        InputError: Pictures, eyes and effects do not belong together, a probability lies outside
            [0, 1], or the page is too large even at the least quality.
    """
    measured = _checked(eyes, pixels, modulated, effects)
    facts = _facts(eyes, measured)
    colours = colormaps[SIGNED_MAP](np.linspace(0, 1, COLOUR_STEPS))
    shared = {
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "budgets": [plain(eps) for eps in measured["eps"].unique()],
        "amplifications": [_amplification(pixels, slab) for slab in modulated],
        "colours": [to_hex(colour) for colour in colours],
    }
    sample = np.unique(np.linspace(0, len(pixels) - 1, SAMPLED).astype(int))
    for quality in QUALITIES:
        sampled = _embedded(pixels[sample], modulated[:, sample], quality)
        needed = _base64_bytes(sampled) * len(pixels) // len(sample)
        if needed > largest:
            continue
        embedded = _embedded(pixels, modulated, quality)
        page = rendered(
            "gallery.html",
            title=title,
            words=words,
            quality=None if quality == LOSSLESS else quality,
            error=_change_error(pixels[sample], modulated[:, sample], quality),
            gallery=shared
            | {
                "exact": quality == LOSSLESS,
                "eyes": [fact | shown for fact, shown in zip(facts, embedded, strict=True)],
            },
        )
        needed = len(page.encode())
        if needed <= largest:
            return page
    raise InputError(
        f"largest={largest}: {len(pixels)} eyes at {len(modulated)} budgets take about {needed} "
        f"bytes even at WebP quality {QUALITIES[-1]}; show fewer eyes or budgets, or allow more"
    )


def _checked(
    eyes: pd.DataFrame, pixels: Picture, modulated: Picture, effects: pd.DataFrame
) -> pd.DataFrame:
    """Effects in the order of the pictures: by rising budget, then as the eyes stand."""
    check_pictures("pixels", pixels)
    for name, frame, columns in (
        ("eyes", eyes, EYE_COLUMNS),
        ("effects", effects, ("image_id", "eps", *MEASURES)),
    ):
        missing = [column for column in columns if column not in frame]
        if missing:
            raise InputError(f"{name}: columns missing: {', '.join(missing)}")
    eps = np.sort(effects["eps"].unique())
    if modulated.dtype != np.uint8 or modulated.shape != (len(eps), *pixels.shape):
        raise InputError(
            f"modulated: must be uint8 {(len(eps), *pixels.shape)}, by the budgets of effects and "
            f"the shape of pixels, not {modulated.dtype} {modulated.shape}"
        )
    if len(eyes) != len(pixels) or eyes["image_id"].duplicated().any():
        raise InputError(f"eyes: must be {len(pixels)} rows, one per picture, each image_id once")
    expected = pd.MultiIndex.from_product([eps, eyes["image_id"]], names=["eps", "image_id"])
    found = effects.set_index(["eps", "image_id"])
    if len(found) != len(expected) or not expected.isin(found.index).all():
        raise InputError(f"effects: must be {len(expected)} rows, each eye at each budget once")
    for name, column in (
        ("eyes: prob_target_before", eyes["prob_target_before"]),
        ("effects: prob_target", effects["prob_target"]),
    ):
        outside = column[~column.between(0, 1)]
        if len(outside):
            raise InputError(f"{name}={outside.iloc[0]}: must lie in [0, 1]")
    return found.loc[expected].reset_index()


def _facts(eyes: pd.DataFrame, measured: pd.DataFrame) -> list[dict[str, object]]:
    """What the page says about each eye; lists begin with the unchanged eye."""
    by_eye = {
        name: measured[name].to_numpy().reshape(-1, len(eyes)).T.tolist() for name in MEASURES
    }
    return [
        {
            "image_id": str(eye["image_id"]),
            "class": str(eye["class"]),
            "eye": str(eye["eye"]),
            "target": str(eye["target"]),
            "part": str(eye["most_changed"]) or "unknown",
            "min_norm": float(eye["min_norm"]) if math.isfinite(eye["min_norm"]) else None,
            "searched": not math.isnan(eye["min_norm"]),
            "prob": [float(eye["prob_target_before"]), *by_eye["prob_target"][place]],
            "success": [bool(eye["prob_target_before"] > SEEN), *by_eye["success"][place]],
            "l2": [0.0, *by_eye["l2"][place]],
            "rms": [0.0, *by_eye["rms"][place]],
        }
        for place, eye in enumerate(eyes.to_dict("records"))
    ]


def _amplification(pixels: Picture, slab: Picture) -> int:
    """Factor that brings the largest changes at one budget to the ends of the colours."""
    pairs = zip(pixels, slab, strict=True)
    return round(1 / max(change_limit(signed_change(eye, now)[None]) for eye, now in pairs))


def _embedded(pixels: Picture, modulated: Picture, quality: int) -> list[Embedded]:
    embedded: list[Embedded] = []
    for place, eye in enumerate(pixels):
        stored = [_stored_change(eye, slab[place], quality) for slab in modulated]
        changes = [(_webp(change, quality), reach) for change, reach in stored]
        embedded.append({"original": _webp(eye, quality), "changes": changes})
    return embedded


def _base64_bytes(embedded: list[Embedded]) -> int:
    return sum(
        len(eye["original"]) + sum(len(change) for change, _ in eye["changes"]) for eye in embedded
    )


def _stored_change(eye: Picture, now: Picture, quality: int) -> tuple[Picture, int]:
    """Put a change in -255 to 255 into 8 bits: modulo 256 where nothing is lost, else scaled."""
    if quality == LOSSLESS:
        return now - eye + np.uint8(MIDDLE), SPAN
    change = now.astype(np.int16) - eye
    reach = max(1, int(np.abs(change).max()))
    return np.round(MIDDLE + change * (SPAN / reach)).astype(np.uint8), reach


def _change_error(pixels: Picture, modulated: Picture, quality: int) -> float:
    """RMS by which the changes shown are off, in RMS of the change: the median, 0 without loss."""
    if quality == LOSSLESS:
        return 0.0
    errors = []
    for slab in modulated:
        for eye, now in zip(pixels, slab, strict=True):
            stored, reach = _stored_change(eye, now, quality)
            decoded = cv2.imdecode(_encoded(stored, quality), cv2.IMREAD_COLOR_RGB)
            change = now.astype(np.float64) - eye
            shown = (np.asarray(decoded, np.float64) - MIDDLE) * (reach / SPAN)
            if change.any():
                errors.append(np.sqrt(np.mean((shown - change) ** 2) / np.mean(change**2)))
    return float(np.median(errors)) if errors else 0.0


def _webp(picture: Picture, quality: int) -> str:
    return b64encode(_encoded(picture, quality).tobytes()).decode("ascii")


def _encoded(picture: Picture, quality: int) -> Picture:
    options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    encoded, content = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert encoded
    return np.asarray(content, np.uint8)
