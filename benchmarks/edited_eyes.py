"""Networks that learned a planted edit of real eyes, and what each of them uses.

A *cell* is an edit, an oracle AUROC and a seed. It is a folder: ``own.pt``, the weights of the
network, ``truth.json``, how far its logit moves when one edit alone is swapped, and a file for each
method, what its maps of the test eyes say by region. A file that is there is not made again.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from benchmarks.map_features import map_features
from fundus_ml.attacks.search import frozen
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.precision import best_device
from fundus_ml.models.start_weights import load_start_weights
from fundus_ml.statistics.clustered import auroc
from fundus_ml.synthesis.edits import (
    EDITS,
    EditedParts,
    Planted,
    cannot_edit,
    parts_of_rows,
    planted_photographs,
    strengths_for,
    support,
)
from fundus_ml.training import TrainingOptions, fit
from fundus_ml.training.partial import fit_above, store_below

ACTIVE = EDITS[:-1]
Floats = NDArray[np.float32]


class EditedEyes(FundusDataset):
    """Eyes of a dataset with other pixels, which lie in memory.

    Args:
        eyes: The eyes.
        edited: ``(len(eyes), H, W, 3)`` uint8.
    """

    def __init__(self, eyes: FundusDataset, edited: NDArray[np.uint8]) -> None:
        self.__dict__.update(eyes.__dict__)
        self._eyes, self._edited = eyes, edited

    def select(self, rows: ArrayLike) -> Self:
        """Keep the eyes at ``rows``, as :meth:`FundusDataset.select` does."""
        kept = self._positions(rows)
        return type(self)(self._eyes.select(kept), self._edited[kept])

    def pixels(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Give the edited eyes at ``indices``."""
        return self._edited[self._positions(indices)]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One edit, oracle AUROC and seed.

    Attributes:
        out: Folder of all cells.
        edit: What the labels are planted by.
        auroc: AUROC that an oracle reading the edited quantity alone reaches.
        seed: Seed of the labels, the weights and the order of the training.
        given: Flags of the benchmark.
    """

    out: Path
    edit: str
    auroc: float
    seed: int
    given: argparse.Namespace

    @property
    def folder(self) -> Path:
        """Holds the files of the cell."""
        return self.out / f"{self.edit}-{self.auroc:.2f}-{self.seed}"

    def missing(self, methods: list[str]) -> list[str]:
        """Files that are still to be made."""
        names = ["truth.json", *(f"{method}.npz" for method in methods)]
        return [name for name in names if not (self.folder / name).is_file()]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what decides a cell."""
    parser.add_argument("--people", type=int, default=0, help="of each split at most; 0 is all")
    parser.add_argument("--images", type=int, default=150, help="test eyes, one a person")
    parser.add_argument(
        "--calibrate", type=int, default=200, help="training people that set the strengths"
    )
    parser.add_argument("--arch", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--freeze", default="backbone", help="none trains the whole network")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch_size", type=int, default=64)


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


def strengths_at(
    auroc: float, out: Path, eyes: FundusDataset, given: argparse.Namespace
) -> dict[str, float]:
    """Calibrate every edit on training people, one eye each; kept in ``out``."""
    file = out / f"strengths-{auroc:.2f}.json"
    if not file.is_file():
        train = eyes.split("train")
        first = np.flatnonzero(~train.frame["person_group"].duplicated().to_numpy())
        chosen = train.select(first[: given.calibrate])
        people = chosen.frame["person_group"].to_numpy()
        pixels = chosen.pixels(np.arange(len(chosen)))
        found = strengths_for(auroc, pixels, parts_of(chosen), people)
        told = {name: dataclasses.asdict(each) for name, each in found.items()}
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(told, indent=1), encoding="utf-8")
    told = json.loads(file.read_text(encoding="utf-8"))
    return {name: float(each["strength"]) for name, each in told.items()}


def make_cell(
    cell: Cell, eyes: FundusDataset, parts: list[EditedParts], methods: list[str]
) -> None:
    """Plant, train and measure what is not there yet."""
    began = time.perf_counter()
    strengths = strengths_at(cell.auroc, cell.out, eyes, cell.given)
    cell.folder.mkdir(parents=True, exist_ok=True)
    planted = planted_photographs(
        eyes.pixels(np.arange(len(eyes))),
        parts,
        eyes.frame["person_group"].to_numpy(),
        edit=cell.edit,
        strength=strengths[cell.edit],
        seed=cell.seed,
    )
    edited = EditedEyes(eyes.select(planted.kept).relabelled(planted.labels), planted.pixels)
    model = _network(cell, edited)
    test = np.flatnonzero(edited.frame["split"].eq("test").to_numpy())
    first = ~edited.frame["person_group"].iloc[test].duplicated().to_numpy()
    shown = _some(planted, test[first][: cell.given.images])
    if "truth.json" in cell.missing([]):
        whole = _logits(model, planted.pixels[test], cell.given.batch_size)
        told = {
            "edit": cell.edit,
            "auroc": cell.auroc,
            "seed": cell.seed,
            "strength": strengths[cell.edit],
            "test_auroc": float(auroc(planted.labels[test].astype(np.float32), whole)),
            "test_eyes": len(test),
            "abstained": dict(planted.abstained),
            "uses": what_it_uses(model, shown, strengths, cell.given.batch_size),
            "seconds": time.perf_counter() - began,
        }
        _write(cell.folder / "truth.json", json.dumps(told, indent=1).encode())
    for method in methods:
        if f"{method}.npz" in cell.missing(methods):
            _explain(cell, model, shown, method, _maps_of(eyes, planted, test[first]))


def what_it_uses(
    model: Classifier, shown: Planted, strengths: Mapping[str, float], batch_size: int
) -> dict[str, dict[str, float]]:
    """Measure how far the logit moves when one edit alone goes from the first class to the second.

    Returns:
        By edit: ``mean`` over the eyes where it can be made, its standard error ``se``, the
        standard deviation ``sd`` of the logit between eyes, and ``eyes``.
    """
    spread = float(np.std(_logits(model, shown.pixels, batch_size)))
    found = {}
    for name in ACTIVE:
        possible = [cannot_edit(name, each) is None for each in shown.parts]
        own = _some(shown, np.flatnonzero(possible))
        first, second = (
            _logits(model, own.as_class(name, sign, strength=strengths[name]), batch_size)
            for sign in (-1, 1)
        )
        gap = second - first
        found[name] = {
            "mean": float(gap.mean()),
            "se": float(gap.std(ddof=1) / np.sqrt(len(gap))),
            "sd": spread,
            "eyes": len(gap),
        }
    return found


def _network(cell: Cell, edited: EditedEyes) -> Classifier:
    """Train the network of a cell, or read its weights."""
    given, file = cell.given, cell.folder / "own.pt"
    spec = ClassifierSpec(
        arch=given.arch,
        head_hidden=256,
        mean=edited.channel_mean,
        std=edited.channel_std,
        size=edited.size,
        head="multiscale",
        dropout=0.3,
    )
    model = make_classifier(spec, seed=cell.seed).to(best_device())
    load_start_weights(model, given.weights)
    if file.is_file():
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()
    options = TrainingOptions(
        epochs=given.epochs,
        lr=given.lr,
        batch_size=given.batch_size,
        schedule="onecycle",
        label_smoothing=0.1,
        freeze=given.freeze,
        seed=cell.seed,
    )
    train, val = edited.split("train"), edited.split("val")
    if given.freeze == "none":
        fitted = fit(model, train, val, options)
    else:
        # The eyes of every cell differ, so their features are of no use to another.
        within = cell.folder / "features"
        above = store_below(model, train, val, options, within=within)
        fitted = fit_above(model, above, options)
    assert isinstance(fitted.model, Classifier)
    torch.save(fitted.model.state_dict(), file)
    return fitted.model.eval()


def _logits(model: Classifier, pixels: NDArray[np.uint8], batch_size: int) -> Floats:
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [
            model(to_images(pixels[first : first + batch_size], device)).float().cpu().numpy()
            for first in range(0, len(pixels), batch_size)
        ]
    return np.concatenate(parts)


def gradients(model: Classifier, pixels: NDArray[np.uint8], batch_size: int) -> Floats:
    """Sum over the channels of gradient times pixels above the channel's mean, ``(N, H, W)``."""
    device = next(model.parameters()).device
    maps = []
    with frozen(model):
        for first in range(0, len(pixels), batch_size):
            images = to_images(pixels[first : first + batch_size], device).requires_grad_()
            (slope,) = torch.autograd.grad(model(images).sum(), images)
            maps.append((slope * (images - model.mean)).sum(dim=1).detach().cpu().numpy())
    return np.concatenate(maps)


def _explain(
    cell: Cell, model: Classifier, shown: Planted, method: str, regions: NDArray[np.uint8]
) -> None:
    if method != "gradient":
        raise InputError(f"method={method}: allowed: gradient")
    began = time.perf_counter()
    maps = gradients(model, shown.pixels, cell.given.batch_size)
    truth = np.stack([support(cell.edit, each) for each in shown.parts])
    found = map_features(maps, regions[: len(maps)], truth)
    half_made = (cell.folder / f"{method}.npz").with_suffix(".part")
    with half_made.open("wb") as opened:
        np.savez_compressed(opened, seconds=time.perf_counter() - began, **found)  # type: ignore[arg-type]
    half_made.replace(cell.folder / f"{method}.npz")


def _maps_of(eyes: FundusDataset, planted: Planted, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    maps = eyes.regions(planted.kept[rows])
    assert maps is not None
    return maps


def _some(planted: Planted, rows: NDArray[np.intp]) -> Planted:
    """The eyes at ``rows`` alone."""
    changed: dict[str, Any] = {
        name: getattr(planted, name)[rows] for name in ("pixels", "labels", "kept", "originals")
    }
    return dataclasses.replace(
        planted,
        **changed,
        signs={name: signs[rows] for name, signs in planted.signs.items()},
        parts=[planted.parts[at] for at in rows.tolist()],
    )


def _write(path: Path, content: bytes) -> None:
    half_made = path.with_suffix(".part")
    half_made.write_bytes(content)
    half_made.replace(path)
