"""Cells of the benchmark of planted edits: what each network uses, and what each method maps.

A *cell* is an edit, an oracle AUROC, a seed, a radius of adversarial training and the confounds. It
is a folder: ``own.pt``, the weights of the network, ``truth.json``, how far its logit moves when
one edit alone is swapped, and a file for each method, what its maps of the test eyes say by region.
A file that is there is not made again.
"""

import argparse
import dataclasses
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.edited_eyes import EditedEyes, shrunk, shrunk_masks, write_whole
from benchmarks.edited_networks import plain_network, robust_network
from benchmarks.map_features import map_features, sham_masks
from fundus_ml.attribution import AttributionOptions, attribute
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import Classifier
from fundus_ml.modulation.effects import logits_of
from fundus_ml.statistics.clustered import auroc
from fundus_ml.synthesis.edits import (
    EDITS,
    Confound,
    EditedParts,
    Planted,
    cannot_edit,
    planted_photographs,
    support,
)

ACTIVE = EDITS[:-1]
TRAIN = "train"
FINENESS = ("integration_steps", "noisy_passes", "window", "stride", "modulation_steps")
"""Options of maps that cost passes, as they are named in the flags."""
FEWEST = 2
"""Eyes whose logits have a standard error."""


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A second edit that follows the labels: ``hue:0.7``, or ``hue:0.7:train`` of training alone.

    Attributes:
        edit: Its name.
        correlation: With the labels.
        where: ``train``, or empty for all eyes.
    """

    edit: str
    correlation: float
    where: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a flag.

        Raises:
            InputError: It is not of that form.
        """
        edit, _, rest = text.partition(":")
        share, _, where = rest.partition(":")
        try:
            correlation = float(share)
        except ValueError:
            correlation = float("nan")
        if edit not in ACTIVE or not abs(correlation) <= 1 or where not in {"", TRAIN}:
            raise InputError(
                f"confounds={text}: allowed: EDIT:CORRELATION or EDIT:CORRELATION:train, "
                f"EDIT being one of {', '.join(ACTIVE)}"
            )
        return cls(edit=edit, correlation=correlation, where=where)

    def __str__(self) -> str:
        """As it is given in the flag."""
        return ":".join(filter(None, (self.edit, f"{self.correlation:g}", self.where)))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One edit, oracle AUROC, seed, radius of adversarial training and set of confounds.

    Attributes:
        out: Folder of all cells.
        edit: What the labels are planted by.
        auroc: AUROC that an oracle reading the edited quantity alone reaches.
        seed: Seed of the labels, the weights and the order of the training.
        given: Flags of the benchmark.
        robust: Radius of adversarial training, per-value RMS in grey levels; 0 is plain.
        ties: Further edits tied to the labels.
    """

    out: Path
    edit: str
    auroc: float
    seed: int
    given: argparse.Namespace
    robust: float = 0.0
    ties: tuple[Tie, ...] = ()

    @property
    def folder(self) -> Path:
        """Holds the files of the cell."""
        robust = f"-rms{self.robust:g}" if self.robust else ""
        ties = "".join(f"-{str(tie).replace(':', '_')}" for tie in self.ties)
        return self.out / f"{self.edit}-{self.auroc:.2f}-{self.seed}{ties}{robust}"

    def missing(self, methods: Sequence[str]) -> list[str]:
        """Files that are still to be made."""
        names = ["truth.json", *(f"{method}.npz" for method in methods)]
        return [name for name in names if not (self.folder / name).is_file()]

    def truth(self) -> dict[str, Any]:
        """Read what the network reaches and uses."""
        told: dict[str, Any] = json.loads((self.folder / "truth.json").read_text(encoding="utf-8"))
        return told

    def maps_of(self, method: str) -> dict[str, NDArray[Any]]:
        """Read what a method's maps say by region, eye by eye."""
        with np.load(self.folder / f"{method}.npz") as found:
            return dict(found)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what decides a cell beside the training of its network."""
    parser.add_argument("--people", type=int, default=0, help="of each split at most; 0 is all")
    parser.add_argument(
        "--side", type=int, default=0, help="of the eyes networks see, pixels; 0 is the dataset's"
    )
    parser.add_argument("--images", type=int, default=150, help="test eyes, one a person")
    parser.add_argument(
        "--calibrate", type=int, default=400, help="training people that set the strengths"
    )
    parser.add_argument("--map_batch_size", type=int, default=16, help="eyes per pass of a map")
    parser.add_argument(
        "--modulation_rms", type=float, default=2.0, help="budget of the maps by modulation"
    )
    fine = AttributionOptions()
    for name in FINENESS:
        value = getattr(fine, name)
        parser.add_argument(
            f"--{name}", type=type(value), default=value, help=f"of a map; {value} if not given"
        )


def make_cell(
    cell: Cell,
    eyes: FundusDataset,
    parts: Sequence[EditedParts],
    strengths: Mapping[str, float],
    methods: Sequence[str],
) -> None:
    """Plant, train and measure what is not there yet.

    Args:
        cell: The cell.
        eyes: All eyes, N.
        parts: Parts of each eye.
        strengths: Strength of every edit, at the cell's AUROC.
        methods: Attribution methods that can serve the network.
    """
    began = time.perf_counter()
    planted = _planted(cell, eyes, parts, strengths)
    edited = EditedEyes(
        eyes.select(planted.kept).relabelled(planted.labels),
        shrunk(planted.pixels, cell.given.side or eyes.size),
    )
    model = _network(cell, edited)
    test = np.flatnonzero(edited.frame["split"].eq("test").to_numpy())
    first = ~edited.frame["person_group"].iloc[test].duplicated().to_numpy()
    rows = test[first][: cell.given.images]
    shown = _some(planted, rows)
    if "truth.json" in cell.missing([]):
        whole = logits_of(model, edited.pixels(test), batch_size=cell.given.batch_size)
        told = {
            "edit": cell.edit,
            "auroc": cell.auroc,
            "seed": cell.seed,
            "robust_rms": cell.robust,
            "confounds": " ".join(map(str, cell.ties)),
            "strength": strengths[cell.edit],
            "test_auroc": float(auroc(planted.labels[test].astype(np.float32), whole)),
            "test_eyes": len(test),
            "abstained": dict(planted.abstained),
            "uses": what_it_uses(
                model, shown, strengths, side=edited.size, batch_size=cell.given.batch_size
            ),
            "seconds": time.perf_counter() - began,
        }
        write_whole(cell.folder / "truth.json", json.dumps(told, indent=1).encode())
    wanted = [method for method in methods if f"{method}.npz" in cell.missing(methods)]
    if wanted:
        explain(cell, model, edited.select(rows), shown.parts, wanted)


def what_it_uses(
    model: Classifier,
    shown: Planted,
    strengths: Mapping[str, float],
    *,
    side: int,
    batch_size: int,
) -> dict[str, dict[str, float]]:
    """Measure how far the logit moves when one edit alone goes from the first class to the second.

    Returns:
        By edit: ``mean`` over the eyes where it can be made, its standard error ``se``, the
        standard deviation ``sd`` of the logit between eyes, and ``eyes``; NaN of fewer than two
        eyes.
    """
    spread = float(np.std(logits_of(model, shrunk(shown.pixels, side), batch_size=batch_size)))
    found = {}
    for name in ACTIVE:
        possible = [cannot_edit(name, each) is None for each in shown.parts]
        if sum(possible) < FEWEST:
            found[name] = {"mean": np.nan, "se": np.nan, "sd": spread, "eyes": sum(possible)}
            continue
        own = _some(shown, np.flatnonzero(possible))
        first, second = (
            logits_of(
                model,
                shrunk(own.as_class(name, sign, strength=strengths[name]), side),
                batch_size=batch_size,
            )
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


def explain(
    cell: Cell,
    model: Classifier,
    shown: EditedEyes,
    parts: Sequence[EditedParts],
    methods: Sequence[str],
) -> None:
    """Map the same eyes by each method and keep what the maps say by region, a file a method.

    Args:
        cell: Whose folder takes the files.
        model: The network.
        shown: The eyes.
        parts: Parts of each eye, at the size at which it was edited.
        methods: Attribution methods.
    """
    every = np.arange(len(shown))
    images = to_images(shown.pixels(every), next(model.parameters()).device)
    people = shown.frame["person_group"].to_numpy().astype(str)
    drawn = shown.regions(every)
    assert drawn is not None
    truth = shrunk_masks(np.stack([support(cell.edit, each) for each in parts]), shown.size)
    sham = sham_masks(truth, drawn)
    options = AttributionOptions(
        batch_size=cell.given.map_batch_size,
        modulation_rms=cell.given.modulation_rms,
        seed=cell.seed,
        **{name: getattr(cell.given, name) for name in FINENESS},
    )
    for method in methods:
        began = time.perf_counter()
        maps = attribute(method, model, images, options=options, regions=drawn).cpu().numpy()
        seconds = (time.perf_counter() - began) / len(images)
        found = map_features(maps, drawn, truth, sham)
        content = io.BytesIO()
        arrays: dict[str, Any] = {"people": people, "seconds_per_eye": seconds, **found}
        np.savez_compressed(content, **arrays)
        write_whole(cell.folder / f"{method}.npz", content.getvalue())


def _planted(
    cell: Cell, eyes: FundusDataset, parts: Sequence[EditedParts], strengths: Mapping[str, float]
) -> Planted:
    train = eyes.frame["split"].eq(TRAIN).to_numpy()
    return planted_photographs(
        eyes.pixels(np.arange(len(eyes))),
        parts,
        eyes.frame["person_group"].to_numpy(),
        edit=cell.edit,
        strength=strengths[cell.edit],
        seed=cell.seed,
        confounds=[
            Confound(
                edit=tie.edit,
                strength=strengths[tie.edit],
                correlation=tie.correlation,
                where=train if tie.where else None,
            )
            for tie in cell.ties
        ],
    )


def _network(cell: Cell, edited: EditedEyes) -> Classifier:
    """Train or read the network; a robust one goes on from the plain one of the same cell."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    if not cell.robust:
        return plain_network(cell.folder, edited, cell.given, seed=cell.seed)
    plain = dataclasses.replace(cell, robust=0.0)
    start = plain_network(plain.folder, edited, cell.given, seed=cell.seed)
    return robust_network(cell.folder, start, edited, cell.given, rms=cell.robust, seed=cell.seed)


def _some(planted: Planted, rows: NDArray[np.intp]) -> Planted:
    """Keep the eyes at ``rows`` alone."""
    changed: dict[str, Any] = {
        name: getattr(planted, name)[rows] for name in ("pixels", "labels", "kept", "originals")
    }
    return dataclasses.replace(
        planted,
        **changed,
        signs={name: signs[rows] for name, signs in planted.signs.items()},
        parts=[planted.parts[at] for at in rows.tolist()],
    )
