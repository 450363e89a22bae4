r"""Where does a network change real eyes? On photographs whose anatomy people have marked.

Eyes with the disc's box and the fovea (`anatomy/codras`), and eyes with their vessels drawn
(`anatomy/drive`, `anatomy/chase_db1`): nobody's sex is known, so each is pushed off the sex that
the network sees (mode disrupt). Enrichment is a part's share of the change's energy on the retina
over its share of the retina, beside a sham's, with intervals over people:

    python -m benchmarks.marked_eyes --root ../shared/data --model models/robust \
        --clean_model models/clean --null_models models/shuffled1 models/shuffled2

`shuffled model` are robust networks that learned shuffled labels; with two or more, `p` and `p_max`
rank the network among them (20 are needed to show anything). The other controls ask no network and
change as much. The disc is its box's ellipse, the macula reaches one disc's height from the fovea,
the periphery begins at 0.8 of the field's radius, as in painted eyes. Networks are folders of
classifiers.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.pictures import read_png
from fundus_ml.imaging.regions.maps import DISC_MARGIN, PERIPHERY, REGION_FLAGS
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.precision import best_device
from fundus_ml.models.weights import load_classifier
from fundus_ml.modulation import (
    CONTROL_DIRECTIONS,
    Chosen,
    ModulationOptions,
    control_pictures,
    push,
    targets_for,
)
from fundus_ml.modulation.control_table import CLEAN_MODEL, MODULATION
from fundus_ml.modulation.effects import change_sizes, logits_of
from fundus_ml.modulation.localisation import enrichment_by_condition
from fundus_ml.modulation.null_distribution import null_conditions, null_table

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Marked(NamedTuple):
    """One photograph: whose, its ``(H, W, 3)`` frame, the structures marked in it."""

    person: str
    frame: Pixels
    structures: dict[str, Mask]


def main() -> None:
    """Push the eyes of each release and print where the changes went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that holds anatomy/")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clean_model", type=Path)
    parser.add_argument("--null_models", type=Path, nargs="*", default=[])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--eps", type=float, nargs="+", default=[4, 16])
    parser.add_argument("--images", type=int, help="of each release at most; all without")
    parser.add_argument("--batch_size", type=int, default=32)
    given = parser.parse_args()
    print(f"{given}\n")
    networks = {MODULATION: given.model}
    if given.clean_model is not None:
        networks[CLEAN_MODEL] = given.clean_model
    networks |= dict(zip(null_conditions(len(given.null_models)), given.null_models, strict=True))
    models = {
        condition: load_classifier(folder).to(best_device())
        for condition, folder in networks.items()
    }
    options = ModulationOptions(
        mode="disrupt", eps=tuple(given.eps), batch_size=given.batch_size, min_norm_steps=0
    )
    releases = {
        "disc and fovea marked": _with_marks(given.root / "anatomy/codras"),
        "vessels drawn": _with_vessels(given.root / "anatomy"),
    }
    for release, photographs in releases.items():
        frame, pixels, regions = _squares(list(photographs)[: given.images], given.size)
        enrichment = _enrichments(models, frame, pixels, regions, options)
        print(f"{release}: {len(frame)} eyes of {frame['person_group'].nunique()} people")
        print(_side_by_side(enrichment))
        null = null_table(enrichment)
        if not null.empty:
            print(f"\n{null.round(4).to_string(index=False)}")
        print(flush=True)


def _with_marks(folder: Path) -> Iterator[Marked]:
    for row in pd.read_csv(folder / "anatomy.csv").to_dict("records"):
        frame = read_png(folder / "images" / row["image"])
        height, width = frame.shape[:2]
        down, across = (np.indices((height, width)) + 0.5).astype(np.float32)
        structures = {}
        if np.isfinite(row["disc_cx"]):
            x, y = across / width - row["disc_cx"], down / height - row["disc_cy"]
            reach = np.hypot(x / (row["disc_w"] / 2), y / (row["disc_h"] / 2))
            structures["disc"] = reach <= 1 + DISC_MARGIN
            if np.isfinite(row["fovea_cx"]):
                off = np.hypot(across - row["fovea_cx"] * width, down - row["fovea_cy"] * height)
                structures["macula"] = off <= row["disc_h"] * height
        yield Marked(row["image"], frame, structures)


def _with_vessels(folder: Path) -> Iterator[Marked]:
    for path in sorted((folder / "drive/images").iterdir()):
        drawn = folder / "drive/1st_manual" / f"{path.stem.split('_')[0]}_manual1.gif"
        yield Marked(path.stem, read_png(path), {"vessels": read_png(drawn)[..., 0] > 0})
    for path in sorted((folder / "chase_db1").glob("*.jpg")):
        drawn = path.with_name(f"{path.stem}_1stHO.png")
        # Both eyes of a child bear one number: Image_01L, Image_01R.
        yield Marked(path.stem[:-1], read_png(path), {"vessels": read_png(drawn)[..., 0] > 0})


def _squares(photographs: list[Marked], size: int) -> tuple[pd.DataFrame, Pixels, Pixels]:
    """Cut the eyes out, ``(N, size, size, 3)``, and map their regions, ``(N, size, size)``."""
    along = (2 * np.arange(size) + 1 - size) / size
    radius = np.hypot(along[:, None], along)
    pixels = np.empty((len(photographs), size, size, 3), np.uint8)
    regions = np.empty(pixels.shape[:3], np.uint8)
    for place, (_, frame, structures) in enumerate(photographs):
        field = find_field_of_view(frame)
        pixels[place] = crop_to_field_of_view(frame, field, size=size, surround="black")
        flags = np.full(frame.shape[:2], REGION_FLAGS["retina"], np.uint8)
        for name, mask in structures.items():
            flags |= mask * np.uint8(REGION_FLAGS[name])
        square = crop_to_field_of_view(
            flags, field, size=size, interpolation="nearest", surround="black"
        )
        landmarks = square & (REGION_FLAGS["disc"] | REGION_FLAGS["macula"]) > 0
        periphery = (radius > PERIPHERY) & (square > 0) & ~landmarks
        regions[place] = square | periphery * np.uint8(REGION_FLAGS["periphery"])
    people = [photograph.person for photograph in photographs]
    names = [f"{person}/{place}" for place, person in enumerate(people)]
    return pd.DataFrame({"image_id": names, "person_group": people}), pixels, regions


def _enrichments(
    models: dict[str, Classifier],
    frame: pd.DataFrame,
    pixels: Pixels,
    regions: Pixels,
    options: ModulationOptions,
) -> pd.DataFrame:
    seen = logits_of(models[MODULATION], pixels, batch_size=options.batch_size)
    logit = torch.from_numpy(seen).float()
    target = targets_for("disrupt", (logit > 0).float(), logit).numpy()
    chosen = Chosen(pixels=pixels, target=target)
    pictures = {
        condition: push(model, chosen, options).modulated
        for condition, model in tqdm(models.items(), "networks")
    }
    lengths = np.stack([change_sizes(pixels, slab)[0] for slab in pictures[MODULATION]])
    for control in CONTROL_DIRECTIONS:
        pictures[control] = control_pictures(control, pixels, lengths, seed=0)
    return enrichment_by_condition(
        pixels, pictures, regions, frame, eps=options.eps, resamples=2000, seed=0
    )


def _side_by_side(enrichment: pd.DataFrame) -> str:
    """Set the conditions beside one another, a line per budget and part."""
    shown = [
        f"{one.enrichment:.2f} ({one.low:.2f}-{one.high:.2f})" for one in enrichment.itertuples()
    ]
    table = enrichment.assign(shown=shown).pivot_table(
        index=["eps", "part", "eyes", "area_share"],
        columns="condition",
        values="shown",
        aggfunc="first",
        sort=False,
    )
    return str(
        table.sort_index(level=["eps", "part"]).reset_index().round(3).to_string(index=False)
    )


if __name__ == "__main__":
    main()
