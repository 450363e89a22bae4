"""Painted eyes with a planted cue, one network that learned it, K null models of the same eyes.

A *cell* is a cue and a seed. It is a folder: the painted eyes, ``own.npz`` of the network that
learned the true labels with ``own.pt``, its weights, and ``null-01.npz`` … of networks that learned
shuffled labels of the same eyes by the same training from the first weight on, so that the K + 1
networks are exchangeable where nothing was planted. Each file holds what its network made of the
same test eyes; a file that is there is not made again, so a killed benchmark goes on.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.painted import painted
from benchmarks.robust_networks import fit_by_long_steps
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.data.shuffled_labels import labels_to_learn
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.precision import best_device
from fundus_ml.modulation import (
    Chosen,
    ModulationOptions,
    choose_eyes,
    push,
    saliency_directions,
)
from fundus_ml.modulation.saliency import GRADIENT
from fundus_ml.synthesis.options import Population
from fundus_ml.training import TrainingOptions

OWN = "own"
"""Name of the network that learned the true labels."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cue and seed.

    Attributes:
        folder: Holds the files of the cell.
        cue: What the sexes differ in.
        seed: Seed of the people, the weights and the order of the training.
        given: Flags of the benchmark.
    """

    folder: Path
    cue: str
    seed: int
    given: argparse.Namespace

    @property
    def networks(self) -> list[str]:
        """Names of the networks, the one that learned the true labels first."""
        return [OWN, *(f"null-{number:02d}" for number in range(1, self.given.nulls + 1))]

    @property
    def finished(self) -> bool:
        """Whether every network has made its pictures."""
        return all((self.folder / f"{name}.npz").is_file() for name in self.networks)

    def options(self) -> ModulationOptions:
        """How the eyes are modulated."""
        return ModulationOptions(
            eps=tuple(self.given.budgets),
            batch_size=self.given.images,
            min_norm_steps=0,
            precision="fp32",
        )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what decides a cell."""
    parser.add_argument("--nulls", type=int, default=20, help="null models of each cell")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--arch", default="test_resnet", help="a small network of timm")
    parser.add_argument("--cue_strength", type=float, default=8.0)
    parser.add_argument("--epochs", type=int, default=6, help="of adversarial training")
    parser.add_argument("--eps_warmup", type=float, default=3, help="of the epochs")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--eps", type=float, default=0.25, help="of the adversarial training")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--images", type=int, default=36)


def make_cell(cell: Cell) -> None:
    """Paint the eyes, train the networks that are not there yet, and let each modulate."""
    dataset = painted_people(cell)
    for number, name in enumerate(cell.networks):
        file = cell.folder / f"{name}.npz"
        if file.is_file():
            continue
        began = time.perf_counter()
        model, attacked = _trained(cell, dataset, number)
        eyes = test_eyes(cell, dataset)
        chosen = Chosen(pixels=eyes.pixels(np.arange(len(eyes))), target=1 - eyes.labels)
        pushed = push(model, chosen, cell.options())
        if name == OWN:
            torch.save(model.state_dict(), cell.folder / f"{OWN}.pt")
        half_made = file.with_suffix(".part")
        with half_made.open("wb") as opened:
            np.savez_compressed(
                opened,
                modulated=pushed.modulated,
                gradient_squared=gradient_squared(model, chosen),
                attacked=attacked,
                seconds=time.perf_counter() - began,
            )
        half_made.replace(file)
        print(f"{cell.folder.name} {name}: {time.perf_counter() - began:.0f} s", flush=True)


def painted_people(cell: Cell) -> FundusDataset:
    """Open the eyes of a cell, which are painted where they are missing."""
    population = Population(
        patients=cell.given.people,
        cue=cell.cue,
        cue_strength=cell.given.cue_strength,
        seed=cell.seed,
    )
    return painted(cell.folder / "eyes", population, size=cell.given.size)


def test_eyes(cell: Cell, dataset: FundusDataset) -> FundusDataset:
    """Choose the eyes that every network of the cell modulates."""
    test = dataset.split("test")
    rows = choose_eyes(test.frame, images=cell.given.images, mode="flip", seed=cell.seed)
    return test.select(rows)


def spec_of(cell: Cell, dataset: FundusDataset) -> ClassifierSpec:
    """What the networks of a cell are made from."""
    return ClassifierSpec(
        arch=cell.given.arch,
        head_hidden=64,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
    )


def gradient_squared(model: torch.nn.Module, chosen: Chosen) -> NDArray[np.float32]:
    """Energy along the gradient at the unchanged eyes, ``(N, H, W)``; shares of it count alone."""
    directions = saliency_directions(
        GRADIENT, model, chosen.pixels, chosen.target, seed=0, batch_size=len(chosen.pixels)
    )
    return np.square(directions).sum(axis=3)


def _trained(cell: Cell, dataset: FundusDataset, number: int) -> tuple[Classifier, float]:
    """Train network ``number``, 0 on the true labels; last its AUROC under PGD-3 on validation."""
    given, seed = cell.given, 1000 * cell.seed + number
    learned = labels_to_learn(dataset, SHUFFLED if number else TRUE, seed=seed)
    fitted = fit_by_long_steps(
        make_classifier(spec_of(cell, dataset), seed=seed).to(best_device()),
        learned.split("train"),
        learned.split("val"),
        TrainingOptions(epochs=given.epochs, lr=given.lr, seed=seed, precision="fp32"),
        eps=given.eps,
        eps_warmup=given.eps_warmup,
        precision="fp32",
    )
    assert isinstance(fitted.model, Classifier)
    return fitted.model, float(fitted.history["robust_val_auroc"].max())
