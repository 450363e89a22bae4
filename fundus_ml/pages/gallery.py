"""The gallery of a modulation: every eye at every budget on one page that asks for nothing.

A page holds its pictures up to a size. Beyond it they lie beside the page, one file per eye, and
the page reads those of the eyes that are shown.
"""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import SIGNED_MAP, change_limit, signed_change
from fundus_ml.figures.inputs import check_pictures
from fundus_ml.figures.style import REGION_STYLES
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.modulation.effects import SEEN
from fundus_ml.pages.template import rendered
from fundus_ml.parallel import in_order
from fundus_ml.statistics.numerals import plain

Picture = NDArray[np.uint8]

FOLDER = "gallery"
"""Folder beside the page, of the pictures that it does not hold."""
LOSSLESS = 101
"""OpenCV's WebP quality above which nothing is lost."""
MIDDLE = 128
"""A change of 0 is stored as 128, every other modulo 256 from there."""
COLOUR_STEPS = 129
"""Colours of the difference view, from darker to brighter."""
EYE_COLUMNS = ("image_id", "class", "eye", "target", "prob_target_before", "min_norm")
MEASURES = ("prob_target", "success", "l2", "rms")
DASHES = {"solid": "none", "dashed": "6 4", "dotted": "2 4"}
"""Lines of matplotlib as SVG writes them."""


class Gallery(NamedTuple):
    """A page, and the files that it reads.

    Attributes:
        html: The page.
        files: Content by path beside the page; none where it holds every picture.
    """

    html: str
    files: Mapping[str, str]


class OtherVersion(NamedTuple):
    """What another version made of the same eyes at the same budgets.

    Attributes:
        name: What a reader knows it by.
        modulated: ``(E, N, H, W, 3)`` uint8.
        effects: E·N rows, as those of the gallery, with ``prob_target_before``; the version
            itself scored its pictures.
    """

    name: str
    modulated: NDArray[np.uint8]
    effects: pd.DataFrame


class Embedded(TypedDict):
    """Pictures of one eye, WebP in base64, and the outlines of its structures as SVG paths."""

    original: str
    changes: list[str]
    outlines: dict[str, str]
    other: NotRequired[list[str]]


def gallery_page(
    *,
    title: str,
    words: str,
    eyes: pd.DataFrame,
    pixels: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    effects: pd.DataFrame,
    regions: NDArray[np.uint8] | None = None,
    other: OtherVersion | None = None,
    largest: int = 60_000_000,
) -> Gallery:
    """Write a page to look through a modulation, budget by budget.

    Each eye is stored once and each change by itself, modulo 256; the page adds them up, and what
    it shows are the pixels that were given. Inside :func:`~fundus_ml.parallel.processes` they are
    compressed in parallel.

    Args:
        title: Title of the page.
        words: One line: version, dataset, constraint, mode, region.
        eyes: N rows: ``image_id class eye target prob_target_before min_norm``. ``min_norm`` is
            inf where no budget flipped the eye and NaN where none was searched.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        modulated: ``(E, N, H, W, 3)`` uint8, at rising budgets.
        effects: E·N rows, one per eye and budget: ``image_id eps prob_target success l2 rms
            most_changed``; ``most_changed`` is empty where unknown.
        regions: ``(N, H, W)`` uint8 region maps, whose structures can be outlined.
        other: Another version, whose pictures can be shown beside these.
        largest: Bytes of pictures that the page may hold; more lie beside it.

    Returns:
        The page and its files, with WebP pictures without loss; every value given is escaped.

    Raises:
        InputError: Pictures, eyes and effects do not belong together, or a probability lies
            outside [0, 1].
    """
    measured = _checked(eyes, pixels, modulated, effects)
    if regions is not None and regions.shape != pixels.shape[:3]:
        raise InputError(f"regions: must be {pixels.shape[:3]}, not {regions.shape}")
    facts = _facts(eyes, measured)
    if other is not None:
        theirs = _checked(eyes, pixels, other.modulated, _without_parts(other.effects))
        for fact, seen in zip(facts, _measures(theirs, len(eyes)), strict=True):
            fact["other"] = seen
    given = [
        _Eye(
            eye=eye,
            path=modulated[:, place],
            regions=None if regions is None else regions[place],
            other=None if other is None else other.modulated[:, place],
        )
        for place, eye in enumerate(pixels)
    ]
    embedded = list(in_order(_embedded, given))
    alone = sum(map(_size, embedded)) <= largest
    colours = colormaps[SIGNED_MAP](np.linspace(0, 1, COLOUR_STEPS))
    key = sha256(json.dumps([title, words, facts]).encode()).hexdigest()[:16]
    html = rendered(
        "gallery.html",
        title=title,
        words=words,
        folder="" if alone else FOLDER,
        gallery={
            "key": key,
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            "budgets": [plain(eps) for eps in measured["eps"].unique()],
            "amplifications": [_amplification(pixels, slab) for slab in modulated],
            "colours": [to_hex(colour) for colour in colours],
            "structures": {
                name: {"colour": colour, "dashes": DASHES[line]}
                for name, (colour, line) in REGION_STYLES.items()
                if any(name in eye["outlines"] for eye in embedded)
            },
            "other": None if other is None else other.name,
            "folder": "" if alone else FOLDER,
            "eyes": facts,
            "pictures": embedded if alone else [],
        },
    )
    files = {
        f"{FOLDER}/{place:05}.js": f'received("{key}", {place}, {json.dumps(eye)});\n'
        for place, eye in enumerate([] if alone else embedded)
    }
    return Gallery(html, files)


def _checked(
    eyes: pd.DataFrame, pixels: Picture, modulated: Picture, effects: pd.DataFrame
) -> pd.DataFrame:
    """Effects in the order of the pictures: by rising budget, then as the eyes stand."""
    check_pictures("pixels", pixels)
    for name, frame, columns in (
        ("eyes", eyes, EYE_COLUMNS),
        ("effects", effects, ("image_id", "eps", *MEASURES, "most_changed")),
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


def _without_parts(effects: pd.DataFrame) -> pd.DataFrame:
    return effects.assign(most_changed="")


def _facts(eyes: pd.DataFrame, measured: pd.DataFrame) -> list[dict[str, object]]:
    """What the page says about each eye; lists begin with the unchanged eye."""
    before = np.tile(eyes["prob_target_before"], len(measured) // len(eyes))
    seen = _measures(measured.assign(prob_target_before=before), len(eyes))
    parts = measured["most_changed"].to_numpy().reshape(-1, len(eyes)).T
    return [
        {
            "image_id": str(eye["image_id"]),
            "class": str(eye["class"]),
            "eye": str(eye["eye"]),
            "target": str(eye["target"]),
            "part": ["nothing", *(str(part) or "unknown" for part in parts[place])],
            "min_norm": float(eye["min_norm"]) if math.isfinite(eye["min_norm"]) else None,
            "searched": not math.isnan(eye["min_norm"]),
            **seen[place],
        }
        for place, eye in enumerate(eyes.to_dict("records"))
    ]


def _measures(measured: pd.DataFrame, count: int) -> list[dict[str, object]]:
    """What each of ``count`` eyes is seen as at every budget, the unchanged eye first."""
    by_eye = {name: measured[name].to_numpy().reshape(-1, count).T.tolist() for name in MEASURES}
    return [
        {
            "prob": [float(before), *by_eye["prob_target"][place]],
            "success": [bool(before > SEEN), *by_eye["success"][place]],
            "l2": [0.0, *by_eye["l2"][place]],
            "rms": [0.0, *by_eye["rms"][place]],
        }
        for place, before in enumerate(measured["prob_target_before"][:count])
    ]


def _amplification(pixels: Picture, slab: Picture) -> int:
    """Factor that brings the largest changes at one budget to the ends of the colours."""
    pairs = zip(pixels, slab, strict=True)
    return round(1 / max(change_limit(signed_change(eye, now)[None]) for eye, now in pairs))


class _Eye(NamedTuple):
    """One unchanged eye, itself and by the other version at every budget, its region map."""

    eye: Picture
    path: Picture
    other: Picture | None
    regions: Picture | None


def _embedded(given: _Eye) -> Embedded:
    """Everything that is shown of one eye."""
    stored = Embedded(
        original=_webp(given.eye),
        changes=[_stored_change(given.eye, now) for now in given.path],
        outlines={} if given.regions is None else _outlines(given.regions),
    )
    if given.other is not None:
        stored["other"] = [_stored_change(given.eye, now) for now in given.other]
    return stored


def _size(eye: Embedded) -> int:
    return len(json.dumps(eye))


def _stored_change(eye: Picture, now: Picture) -> str:
    """Put a change in -255 to 255 into 8 bits, modulo 256: the eye tells which of two it is."""
    return _webp(now - eye + np.uint8(MIDDLE))


def _outlines(regions: Picture) -> dict[str, str]:
    """Borders of the structures that the figures outline, in pixels, as paths of SVG."""
    found = {}
    for name in REGION_STYLES:
        inside = (regions & REGION_FLAGS[name] > 0).astype(np.uint8)
        if 0 < inside.sum() < inside.size:
            borders, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
            corners = (border[:, 0] + 0.5 for border in borders)
            found[name] = "".join(
                "M" + "L".join(f"{x:g} {y:g}" for x, y in border) + "Z" for border in corners
            )
    return found


def _webp(picture: Picture) -> str:
    options = [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS]
    encoded, content = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert encoded
    return b64encode(np.asarray(content, np.uint8).tobytes()).decode("ascii")
