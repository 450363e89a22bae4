"""Is a frame that shows no single whole fundus ever taken for one, silently?

Painted eyes of four cameras, of varied size, colour, brightness, noise and JPEG quality, are put
into frames whose truth is known: several eyes in one frame (over black, grey and white, touching
or apart, an inset), writing around and inside the circle, flat cuts on one to four sides, frames
inside the circle that show only its corner arcs, a bright atrophy over a dim periphery, three
equal channels, inverted colours, and sound eyes, half of them with a label, a reflex or a date
beside them. Each goes through the file, decoding and cropping as `preprocess` does it.

A silent failure is an eye that is kept without a flag although its circle is off by more than 2 %
of the radius, its frame shows no single fundus, or writing is left inside the circle of its square.

    python -m benchmarks.hostile_frames --frames 600 --sheet silent.png
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.cropping import CroppedEye, crop_eye
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.field_of_view import crop_to_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.options import CropOptions
from fundus_ml.imaging.photographs import read_photograph
from fundus_ml.imaging.pictures import write_png
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
WHOLE_CAMERAS = ("Halden VX", "Pico Handheld", "Osprey NM", "Meridian C2")
"""Cameras whose frame holds the whole circle, so that a retina can be shown through another."""
SHOWN = 0.93
"""Share of the painted circle that is shown, clear of its own edge."""
SIZES = (320, 1500)
OFF = 0.02
INK = 60
HARMLESS = {"squashed"}
OUTCOMES = ("right", "flagged", "refused", "silent")
TILE, ACROSS = 240, 6


class Place(NamedTuple):
    """A circle in a frame, pixels."""

    x: float
    y: float
    radius: float


@dataclass
class Frame:
    """A frame under construction, and the truth about it.

    Attributes:
        light: ``(H, W, 3)`` float32, 0 to 255.
        truth: The only circle that may be taken, or None where nothing may be taken.
        ink: ``(H, W)`` uint8, 255 where something was written.
    """

    light: Floats
    truth: Place | None
    ink: Pixels


class Painter:
    """Draws frames of every family from a few painted eyes."""

    def __init__(self, *, people: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = SIZES
        table = draw_population(Population(patients=people, seed=seed))
        rows = [{str(name): value for name, value in row.items()} for _, row in table.iterrows()]
        self.retinas = [
            _retina(row, WHOLE_CAMERAS[number % len(WHOLE_CAMERAS)])
            for number, row in enumerate(rows)
        ]

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return float(self.rng.uniform(low, high))

    def blank(self, width: float, height: float, level: float) -> Frame:
        """Begin a frame of one level."""
        shape = round(height), round(width)
        light = np.full((*shape, 3), level, np.float32)
        return Frame(light, None, np.zeros(shape, np.uint8))

    def side(self) -> float:
        """Draw the longer side of a frame."""
        return float(np.exp(self.between(*np.log(self.sizes))))

    def level(self) -> float:
        """Draw the level of a background: black, grey or white."""
        ranges = ((0, 12), (0, 12), (70, 180), (250, 255))
        return self.between(*ranges[self.rng.integers(len(ranges))])

    def show(
        self,
        frame: Frame,
        place: Place,
        *,
        gain: float = 1.0,
        cuts: Sequence[float] = (2, 2, 2, 2),
    ) -> None:
        """Show an eye through a circle cut flat at left, top, right, bottom, in radii."""
        chosen = self.retinas[self.rng.integers(len(self.retinas))]
        height, width = frame.light.shape[:2]
        zoom = 2 * place.radius / SHOWN / chosen.shape[0]
        middle = (chosen.shape[0] - 1) / 2
        shift = np.array([[zoom, 0, place.x - zoom * middle], [0, zoom, place.y - zoom * middle]])
        tint = np.exp(self.rng.normal(scale=0.06, size=3)).astype(np.float32)
        eye = cv2.warpAffine(chosen, shift, (width, height), flags=cv2.INTER_LINEAR)
        across = (np.arange(width, dtype=np.float32) - place.x) / place.radius
        down = ((np.arange(height, dtype=np.float32) - place.y) / place.radius)[:, None]
        softness = max(1.0 / place.radius, self.between(0.002, 0.01))
        through = np.clip((1 - np.hypot(across, down)) / softness + 0.5, 0, 1)
        left, top, right, bottom = cuts
        through *= (across > -left) & (across < right) & (down > -top) & (down < bottom)
        frame.light += through[..., None] * (eye * (np.float32(gain) * tint) - frame.light)

    def write(self, frame: Frame, text: str, at: tuple[float, float], height: float) -> None:
        """Write white letters with their lower left corner at a place."""
        scale, thick = height / 21, max(1, round(height / 14))
        corner = (round(at[0]), round(at[1]))
        cv2.putText(frame.ink, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick)
        frame.light[frame.ink > 0] = 235

    def file(self, frame: Frame) -> bytes:
        """Add noise and encode."""
        noise = self.rng.normal(scale=self.between(0.5, 3), size=(*frame.light.shape[:2], 1))
        pixels = np.clip(frame.light + noise, 0, 255).round().astype(np.uint8)
        suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
        if self.rng.random() < 0.75:  # noqa: PLR2004 (most photographs are JPEG)
            suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, int(self.rng.integers(60, 96))]
        return bytes(cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1])


def _retina(row: dict[str, object], camera: str) -> Floats:
    made = CAMERAS[camera]
    painted = paint_photograph(row | {"camera": camera}).image
    place = FieldOfView(made.centre[0] - 0.5, made.centre[1] - 0.5, made.field_radius)
    return crop_to_field_of_view(painted, place, size=600).astype(np.float32)


def _single(painter: Painter, *, level: float | None = None) -> tuple[Frame, Place]:
    width = painter.side()
    height = width * painter.between(0.7, 1.0)
    frame = painter.blank(width, height, painter.between(0, 12) if level is None else level)
    shift = [painter.between(-0.02, 0.02) * height for _ in range(2)]
    place = Place(
        width / 2 + shift[0], height / 2 + shift[1], height / 2 * painter.between(0.8, 0.95)
    )
    frame.truth = place
    return frame, place


def _sound(painter: Painter) -> Frame:
    level = painter.level()
    frame, place = _single(painter, level=level)
    painter.show(frame, place, gain=painter.between(0.6, 1.2))
    beside = painter.rng.integers(6)
    height, width = frame.light.shape[:2]
    if beside == 0:
        painter.write(frame, "OD 45", (5, height - 6), place.radius * 0.08)
    elif beside == 1:
        wide, high = round(place.radius * 0.5), round(place.radius * 0.28)
        frame.light[:high, :wide] = 225 if level < 200 else 30  # noqa: PLR2004 (not on paper)
    elif beside == 2:  # noqa: PLR2004 (a third thing beside the circle)
        rows, columns = np.indices((height, width), np.float32)
        away = ((columns - width) ** 2 + (rows - height) ** 2) / (0.12 * place.radius) ** 2
        frame.light += (120 * np.exp(-away))[..., None].astype(np.float32)
    return frame


def _cut(painter: Painter) -> Frame:
    frame, place = _single(painter)
    sides = painter.rng.permutation(4)[: painter.rng.integers(1, 5)]
    cuts = [painter.between(0.78, 0.95) if side in sides else 2 for side in range(4)]
    painter.show(frame, place, gain=painter.between(0.6, 1.2), cuts=cuts)
    return frame


def _captioned(painter: Painter) -> Frame:
    frame, place = _single(painter)
    deep = painter.between(0.66, 0.78)
    below = painter.rng.random() < 0.5  # noqa: PLR2004 (either side)
    cuts = (2, 2, 2, deep) if below else (2, deep, 2, 2)
    painter.show(frame, place, gain=painter.between(0.6, 1.2), cuts=cuts)
    letter = place.radius * (1 - deep) * 0.4
    middle = place.y + (1 if below else -1) * place.radius * (1 + deep) / 2 + letter / 2
    painter.write(frame, "F 054Y OD", (place.x - 3.6 * letter, middle), letter)
    painter.write(frame, "12.3.", (4, frame.light.shape[0] - 5), letter)
    return frame


def _four_arcs(painter: Painter) -> Frame:
    radius = painter.side() / 2
    corner = painter.between(0.6, np.pi / 4)
    reach = radius * painter.between(1.04, 1.3)
    width, height = (
        min(2 * reach * way, 1.96 * radius) for way in (np.cos(corner), np.sin(corner))
    )
    frame = painter.blank(width, height, painter.between(0, 8))
    off = [painter.between(-0.015, 0.015) * radius for _ in range(2)]
    frame.truth = Place((width - 1) / 2 + off[0], (height - 1) / 2 + off[1], radius)
    painter.show(frame, frame.truth, gain=painter.between(0.7, 1.2))
    return frame


def _atrophy(painter: Painter) -> Frame:
    frame, place = _single(painter)
    painter.show(frame, place, gain=painter.between(0.1, 0.35))
    rows, columns = np.indices(frame.light.shape[:2], np.float32)
    turn, away = painter.between(0, 2 * np.pi), painter.between(0, 0.4)
    across = (columns - place.x) / place.radius - away * np.cos(turn)
    down = (rows - place.y) / place.radius - away * np.sin(turn)
    size = painter.between(0.25, 0.45)
    size *= 1 + painter.between(0, 0.25) * np.sin(3 * np.arctan2(down, across))
    patch = np.clip((size - np.hypot(across, down)) / 0.03 + 0.5, 0, 1)[..., None]
    pale = np.array([250, 225, 170], np.float32)
    frame.light += (patch * (pale - frame.light)).astype(np.float32)
    return frame


def _panels(painter: Painter, across: int, down: int) -> Frame:
    """Several eyes, each in a panel of its own; gaps from none to a third of the radius."""
    radius = painter.side() / 2.4 / max(across, down)
    wide, high = (radius * painter.between(1.6, 2.1) for _ in range(2))
    gap = painter.rng.choice([0, 0, 1]) * radius * painter.between(0.02, 0.35)
    frame = painter.blank(across * (wide + gap) + gap, down * (high + gap) + gap, painter.level())
    black = painter.rng.random() < 0.5  # noqa: PLR2004 (panels keep their surround or lose it)
    for number in range(across * down):
        left = gap + (number % across) * (wide + gap)
        top = gap + (number // across) * (high + gap)
        panel = np.s_[round(top) : round(top + high), round(left) : round(left + wide)]
        if black:
            frame.light[panel] = painter.between(0, 8)
        place = Place(left + wide / 2, top + high / 2, radius * painter.between(0.75, 1.0))
        edges = tuple(length / 2 / place.radius for length in (wide, high, wide, high))
        painter.show(frame, place, gain=painter.between(0.35, 1.2), cuts=edges)
    return frame


def _pair(painter: Painter) -> Frame:
    return _panels(painter, *((2, 1) if painter.rng.random() < 0.7 else (1, 2)))  # noqa: PLR2004


def _mosaic(painter: Painter) -> Frame:
    return _panels(painter, *(((2, 2), (3, 2), (2, 3), (3, 1))[painter.rng.integers(4)]))


def _inset(painter: Painter) -> Frame:
    frame, place = _single(painter)
    painter.show(frame, place, gain=painter.between(0.6, 1.2))
    height, width = frame.light.shape[:2]
    small = place.radius * painter.between(0.35, 0.6)
    right, low = painter.rng.random(2) < 0.5  # noqa: PLR2004 (any corner)
    inset = Place(width - small if right else small, height - small if low else small, small)
    rows, columns = np.indices((height, width))
    box = (np.abs(rows - inset.y) <= small) & (np.abs(columns - inset.x) <= small)
    frame.light[box] = painter.between(0, 8)
    painter.show(frame, inset, gain=painter.between(0.6, 1.2))
    frame.truth = None
    return frame


def _grey(painter: Painter) -> Frame:
    frame = _cut(painter)
    frame.light[:] = frame.light @ np.array([0.3, 0.59, 0.11], np.float32)[:, None]
    frame.truth = None
    return frame


def _inverted(painter: Painter) -> Frame:
    frame, place = _single(painter)
    painter.show(frame, place, gain=painter.between(0.6, 1.2))
    frame.light = 255 - frame.light
    frame.truth = None
    return frame


FAMILIES: dict[str, Callable[[Painter], Frame]] = {
    "sound": _sound,
    "cut": _cut,
    "four arcs": _four_arcs,
    "atrophy": _atrophy,
    "pair": _pair,
    "mosaic": _mosaic,
    "inset": _inset,
    "captioned": _captioned,
    "grey": _grey,
    "inverted": _inverted,
}


class Judged(NamedTuple):
    """What became of a frame.

    Attributes:
        outcome: One of :data:`OUTCOMES`.
        told: The reason it was refused, its flags, or what nobody was told.
    """

    outcome: str
    told: str


def judge(frame: Frame, content: bytes) -> Judged:
    """Crop a frame's file as `preprocess` does, and compare with the truth."""
    options = CropOptions(same_person=False)
    eye = crop_eye(partial(read_photograph, content), options)
    if isinstance(eye, Refused):
        return Judged("refused", eye.reason)
    flags = set(str(eye.measured["flags"]).split("; ")) - HARMLESS - {""}
    if flags:
        return Judged("flagged", "; ".join(sorted(flags)))
    wrong = _wrong(frame, eye)
    return Judged("silent", wrong) if wrong else Judged("right", "")


def measure_hostile(frames: int, *, seed: int, people: int = 12) -> pd.DataFrame:
    """Draw frames of every family in turn: family, outcome, what was told, the file."""
    painter = Painter(people=people, seed=seed)
    rows = []
    for number in range(frames):
        family = list(FAMILIES)[number % len(FAMILIES)]
        frame = FAMILIES[family](painter)
        content = painter.file(frame)
        rows.append({"family": family, **judge(frame, content)._asdict(), "content": content})
    return pd.DataFrame(rows)


def _wrong(frame: Frame, eye: CroppedEye) -> str:
    if frame.truth is None:
        return "no single fundus"
    names = ("fov_x", "fov_y", "fov_radius", "fov_aspect")
    across, down, size, aspect = (float(str(eye.measured[name])) for name in names)
    field = FieldOfView(across, down, size, aspect)
    x, y, radius = frame.truth
    sizes = field.radius - radius, field.radius * field.aspect - radius
    off = max(abs(value) for value in (field.x - x, field.y - y, *sizes)) / radius
    if off > OFF:
        return f"circle off by {off:.0%}"
    ink = crop_to_field_of_view(frame.ink, field, size=len(eye.pixels), surround="black")
    return "writing left" if (eye.pixels[ink > INK].max(initial=0)) > INK else ""


def _sheet(table: pd.DataFrame) -> Pixels:
    tiles = []
    for family, told, content in zip(table["family"], table["told"], table["content"], strict=True):
        image = read_photograph(content, TILE).image
        scale = TILE / max(image.shape[:2])
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        tile = np.full((TILE + 16, TILE, 3), 60, np.uint8)
        tile[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        label, at = f"{family}: {told}", (1, TILE + 12)
        cv2.putText(tile, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255,) * 3, 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % ACROSS)
    return np.vstack([np.hstack(tiles[at : at + ACROSS]) for at in range(0, len(tiles), ACROSS)])


def main() -> None:
    """Print what became of each family, and draw the silent failures where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=400, help="painted frames")
    parser.add_argument("--seed", type=int, default=0, help="seed of the frames")
    parser.add_argument("--sheet", type=Path, help="PNG of the silent failures")
    given = parser.parse_args()
    table = measure_hostile(given.frames, seed=given.seed)
    print(f"{'':12}{'frames':>7}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES))
    for family in (*FAMILIES, "all"):
        group = table if family == "all" else table[table["family"] == family]
        counts = Counter(group["outcome"])
        told = Counter(group["told"][group["told"] != ""]) if family != "all" else Counter()
        reasons = ", ".join(f"{count} {reason}" for reason, count in told.most_common())
        print(f"{family:12}{len(group):7}", end="")
        print("".join(f"{counts[outcome]:9}" for outcome in OUTCOMES) + f"  {reasons}")
    silent = table[table["outcome"] == "silent"]
    if given.sheet and len(silent):
        write_png(_sheet(silent), given.sheet)


if __name__ == "__main__":
    main()
