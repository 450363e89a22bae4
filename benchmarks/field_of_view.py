"""How well is the field of view found? On drawn eyes whose circle is known, and on real ones.

Drawn eyes are painted retinas seen through a circle of known place, in frames of 300 to 4300
pixels: whole, cut by the frame, flattened inside it, on paper, squashed up to 10 %, dark; with
soft edges, shadows, notches, labels, noise and JPEG. Each goes through the file, decoding at the
scale that 300 pixels need, detection, and back to the original's pixels. Errors are in per cent of
the radius. With the folder of real photographs also: overlap with DRIVE's own masks, and how many
photographs are found, uncertain and refused, by reason; `--sheets` draws them for an eye to judge.

    python -m benchmarks.field_of_view --root ../shared/data --sheets sheets
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import Decoded, decode_photograph
from fundus_ml.imaging.field_of_view import SURE, FieldOfView, find_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import read_png, write_png
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

Pixels = NDArray[np.uint8]
LEAST_SIDE = 300
PAINTED = "Halden VX"
PAINTED_RADIUS = 292
KINDS = ("whole", "cut by frame", "off-centre", "flattened", "paper", "squashed", "dark")
RELEASES = {
    "drive": "anatomy/drive/images/*",
    "chase_db1": "anatomy/chase_db1/*.jpg",
    "codras": "anatomy/codras/**/*.jpg",
    "odir_512": "odir_512/**/*.jpg",
    "fullsize": "fullsize/*.jpg",
    "odir": "odir/images/*.jpg",
}
SHADED, MARKED = 0.5, 0.3
TILE = 150
TILES = (12, 8)


@dataclass(frozen=True)
class Scene:
    """Where the drawn circle lies, pixels of its frame; ``radius`` is half its height."""

    width: int
    height: int
    x: float
    y: float
    radius: float
    aspect: float


def main() -> None:
    """Print the tables, and draw the sheets where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--eyes", type=int, default=700, help="drawn eyes")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn eyes")
    parser.add_argument("--root", type=Path, help="folder of real photographs")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets of real ones")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    _report_drawn(measure_drawn(given.eyes, given.seed))
    if given.root is not None:
        _report_drive(given.root / "anatomy/drive")
        _report_real(given.root, given.sheets)


def measure_drawn(eyes: int, seed: int) -> pd.DataFrame:
    """Draw eyes of every kind in turn, find their circles, and compare."""
    table = draw_population(Population(patients=12, seed=seed)).assign(camera=PAINTED)
    people = [{str(name): value for name, value in row.items()} for _, row in table.iterrows()]
    retinas = [paint_photograph(row).image for row in people]
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(eyes):
        kind = KINDS[number % len(KINDS)]
        scene = _place(kind, rng)
        content = _photograph(retinas[rng.integers(len(retinas))], scene, kind, rng)
        decoded, found = _find(content)
        rows.append({"kind": kind, "side": max(scene.width, scene.height)} | _compare(scene, found))
        assert (decoded.width, decoded.height) == (scene.width, scene.height)
    return pd.DataFrame(rows)


def _place(kind: str, rng: np.random.Generator) -> Scene:
    longer = int(np.exp(rng.uniform(np.log(300), np.log(4300))))
    width, height = longer, round(longer * rng.uniform(0.65, 1.0))
    share = rng.uniform(0.7, 0.97)
    shift = rng.uniform(-0.03, 0.03, size=2)
    if kind == "cut by frame":
        share = rng.uniform(1.05, 1.3)
        width = max(width, round(1.08 * share * height))
    if kind == "off-centre":
        share, shift = rng.uniform(0.7, 1.1), rng.uniform(-0.25, 0.25, size=2)
    aspect = rng.uniform(0.9, 1.1) if kind == "squashed" else 1.0
    return Scene(
        width=width,
        height=height,
        x=width / 2 + shift[0] * height,
        y=height / 2 + shift[1] * height,
        radius=share * height / 2,
        aspect=float(aspect),
    )


def _photograph(retina: Pixels, scene: Scene, kind: str, rng: np.random.Generator) -> bytes:
    """The frame's file, whose circle is where half the light of the soft edge comes through."""
    size, radius = (scene.width, scene.height), scene.radius
    zoom = 1.08 * radius / PAINTED_RADIUS
    centre = (retina.shape[0] - 1) / 2
    place = np.array(
        [
            [zoom * scene.aspect, 0, scene.x - zoom * scene.aspect * centre],
            [0, zoom, scene.y - zoom * centre],
        ]
    )
    eye = cv2.warpAffine(retina, place, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    eye *= rng.uniform(0.12, 0.35) if kind == "dark" else rng.uniform(0.7, 1.1)
    across = (np.arange(scene.width, dtype=np.float32) - scene.x) / scene.aspect
    down = (np.arange(scene.height, dtype=np.float32) - scene.y)[:, None]
    softness = max(1.0, radius * rng.uniform(0.002, 0.012))
    through = np.clip((radius - np.hypot(across, down)) / softness + 0.5, 0, 1)
    if kind == "flattened":
        through *= np.abs(down) < radius * rng.uniform(0.82, 0.97)
    if rng.random() < SHADED:
        side = rng.uniform(0, 2 * np.pi)
        slope = (across * np.cos(side) + down * np.sin(side)) / radius
        eye *= (1 - rng.uniform(0, 0.6) * np.clip(slope, 0, 1))[..., None]
    surround = rng.uniform(250, 255) if kind == "paper" else rng.uniform(0, 14)
    frame = surround + through[..., None] * (eye - surround)
    frame += rng.normal(scale=rng.uniform(0.5, 3), size=(*frame.shape[:2], 1)).astype(np.float32)
    pixels = np.clip(frame, 0, 255).round().astype(np.uint8)
    if rng.random() < MARKED:
        _mark(pixels, scene, rng, ink=20 if kind == "paper" else 220)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return bytes(cv2.imencode(".jpg", pixels, quality)[1])


def _mark(frame: Pixels, scene: Scene, rng: np.random.Generator, *, ink: int) -> None:
    """A tab on the edge that shows more retina, and a date in a corner."""
    side = rng.uniform(0, 2 * np.pi)
    tab = (
        round(scene.x + scene.radius * scene.aspect * np.cos(side)),
        round(scene.y + scene.radius * np.sin(side)),
    )
    cv2.circle(frame, tab, round(scene.radius * 0.05), (120, 70, 40), cv2.FILLED)
    letter = scene.radius / 300
    corner = (round(5 * letter), round(scene.height - 6 * letter))
    cv2.putText(frame, "OD 45", corner, cv2.FONT_HERSHEY_SIMPLEX, letter, (ink, ink, ink))


def _find(content: bytes) -> tuple[Decoded, FieldOfView | Refused]:
    decoded = decode_photograph(content, least_side=LEAST_SIDE)
    height, width = decoded.image.shape[:2]
    try:
        field = find_field_of_view(decoded.image)
    except Refused as refused:
        return decoded, refused
    # Reduced sizes are rounded up, so the true scale of both axes is the larger.
    factor = max(decoded.width / width, decoded.height / height)
    return decoded, field.scaled(factor, factor)


def _compare(scene: Scene, found: FieldOfView | Refused) -> dict[str, object]:
    if isinstance(found, Refused):
        return {"outcome": "refused"}
    off = np.hypot((found.x - scene.x) / scene.aspect, found.y - scene.y)
    return {
        "outcome": "sure" if found.confidence >= SURE else "uncertain",
        "centre": 100 * off / scene.radius,
        "radius": 100 * abs(found.radius / scene.radius - 1),
        "aspect": 100 * abs(found.aspect / scene.aspect - 1),
    }


def _report_drawn(table: pd.DataFrame) -> None:
    print("Drawn eyes, errors in % of the radius (aspect: in %); `right`: centre and radius <= 1 %")
    print(
        f"{'':14}{'eyes':>6}{'refused':>8}{'unsure':>8}{'sure':>6}{'right':>9}{'centre':>15}",
        end="",
    )
    print(f"{'radius':>14}{'aspect':>14}\n{'':51}" + 3 * f"{'median':>8}{'worst':>6}")
    for kind in (*KINDS, "all"):
        group = table if kind == "all" else table[table["kind"] == kind]
        sure = group[group["outcome"] == "sure"]
        right = ((sure["centre"] <= 1) & (sure["radius"] <= 1)).mean()
        counts = [(group["outcome"] == outcome).sum() for outcome in ("refused", "uncertain")]
        print(f"{kind:14}{len(group):6}{counts[0]:8}{counts[1]:8}{len(sure):6}{right:9.1%}", end="")
        for name in ("centre", "radius", "aspect"):
            print(f"{sure[name].median():8.2f}{sure[name].max():6.2f}", end="")
        print()


def _report_drive(folder: Path) -> None:
    overlaps = []
    for path in sorted((folder / "images").iterdir()):
        _, field = _find(path.read_bytes())
        assert isinstance(field, FieldOfView)
        mask = read_png(folder / "mask" / f"{path.stem}_mask.gif")[..., 0] > 0
        rows, columns = np.indices(mask.shape)
        inside = np.hypot((columns - field.x) / field.aspect, rows - field.y) <= field.radius
        overlaps.append((inside & mask).sum() / (inside | mask).sum())
    print(
        f"\nDRIVE, intersection over union with its {len(overlaps)} masks: "
        f"mean {np.mean(overlaps):.4f}, least {min(overlaps):.4f}"
    )


def _report_real(root: Path, sheets: Path | None) -> None:
    print("\nReal photographs")
    print(f"{'':12}{'all':>6}{'sure':>6}{'uncertain':>10}{'refused':>8}{'squashed':>9}{'cut':>6}")
    seen = []
    for release, pattern in RELEASES.items():
        rows = [_judge(path) for path in sorted(root.glob(pattern))]
        fields = [field for _, field in rows if isinstance(field, FieldOfView)]
        sure = sum(field.confidence >= SURE for field in fields)
        reasons = Counter(refused.reason for _, refused in rows if isinstance(refused, Refused))
        squashed = sum(field.aspect != 1 for field in fields)
        cut = sum(bool(field.cut) for field in fields)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        print(f"{release:12}{len(rows):6}{sure:6}{len(fields) - sure:10}", end="")
        print(f"{len(rows) - len(fields):8}{squashed:9}{cut:6}  {told}")
        seen += rows
    if sheets is not None:
        _draw_sheets(seen, sheets)


def _judge(path: Path) -> tuple[Path, FieldOfView | Refused]:
    return path, _find(path.read_bytes())[1]


def _draw_sheets(seen: Sequence[tuple[Path, FieldOfView | Refused]], folder: Path) -> None:
    refused = [row for row in seen if isinstance(row[1], Refused)]
    found = [(path, field) for path, field in seen if isinstance(field, FieldOfView)]
    found.sort(key=lambda row: row[1].confidence)
    uncertain = [row for row in found if row[1].confidence < SURE]
    sure = found[len(uncertain) :]
    some = np.random.default_rng(0).choice(len(sure), size=min(len(sure), 4 * 96), replace=False)
    for name, rows in (
        ("refused", refused),
        ("uncertain", uncertain),
        ("least_sure", sure[: 4 * 96]),
        ("some_sure", [sure[number] for number in sorted(some)]),
    ):
        across, down = TILES
        for page in range(0, len(rows), across * down):
            tiles = [_tile(*row) for row in rows[page : page + across * down]]
            tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
            lines = [np.hstack(tiles[at : at + across]) for at in range(0, len(tiles), across)]
            write_png(np.vstack(lines), folder / f"{name}_{page // (across * down)}.png")


def _tile(path: Path, field: FieldOfView | Refused) -> Pixels:
    decoded = decode_photograph(path.read_bytes(), least_side=TILE)
    image = decoded.image
    scale = TILE / max(image.shape[:2])
    width, height = (round(side * scale) for side in image.shape[1::-1])
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    image = np.asarray(255 * (resized / 255) ** 0.6, np.uint8)
    label = path.stem
    if isinstance(field, FieldOfView):
        small = field.scaled(width / decoded.width, height / decoded.height)
        middle = (round(small.x * 16), round(small.y * 16))
        axes = (round(small.radius * small.aspect * 16), round(small.radius * 16))
        cv2.ellipse(image, middle, axes, 0, 0, 360, (0, 255, 0), 1, cv2.LINE_AA, 4)
        label += f" {field.confidence:.2f} a{field.aspect:.2f}"
    else:
        label += f" {field.detail}"
    tile = np.full((TILE + 14, TILE + 4, 3), 60, np.uint8)
    tile[: image.shape[0], : image.shape[1]] = image
    cv2.putText(
        tile, label[:36], (1, TILE + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255, 255, 255), 1, 16
    )
    return tile


if __name__ == "__main__":
    main()
