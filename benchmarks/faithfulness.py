"""How fast are the scores of explanation maps? Against Quantus on the same batch.

Both score the same maps of the same painted eyes with the same network and the same number of
forward and backward passes, in turn, on the threads that OMP_NUM_THREADS allows:

    OMP_NUM_THREADS=1 python -m benchmarks.faithfulness --csv docs/results/faithfulness_speed.csv

`deletion and insertion` is PixelFlipping with the map and with its negative, read backwards;
`infidelity` removes as many patches as Quantus does; the localisation scores are of six parts and
three shams. `eight methods` is what a comparison asks: the removals behind infidelity do not depend
on the map, so ours makes them once and Quantus makes them for every method. `difference` is the
largest one between the two, over the spread of theirs; the subsets of `infidelity` are not the same
ones, so it has none. `cpu_seconds` is what the process took of the processor: other work on the
machine disturbs it less. Regions and shams are given to both, and so is what the network decides.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.attacks import network_of
from benchmarks.machine import machine
from benchmarks.rows import append_rows
from experiments.running.memory import keep_freed_memory
from fundus_ml.faithfulness.deletion_insertion import deletion_insertion
from fundus_ml.faithfulness.explained import Explained
from fundus_ml.faithfulness.localisation import Localised
from fundus_ml.faithfulness.max_sensitivity import max_sensitivity
from fundus_ml.faithfulness.perturbation import infidelity
from fundus_ml.faithfulness.removals import remove_subsets
from fundus_ml.faithfulness.sparseness import gini
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import to_images
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.models.classifiers import two_logits
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantus

LEVELS, PATCH, DRAWS, RADIUS, METHODS = 12, 24, 3, 0.02, 8
QUIET = {"abs": False, "normalise": False, "disable_warnings": True}
Values = NDArray[np.float64]
Run = Callable[[], Values | None]


def main() -> None:
    """Time each score of both in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=96, help="must be a multiple of 48")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path, help="file that gets a row per score")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    images, regions = painted(given.batch_size, given.size)
    model = network_of(None, given.arch, images)
    maps = gradient(model, images)
    batch = Batch(model, images, maps, regions)
    batch.located(), batch.masks
    rows = []
    for score, (ours, theirs) in batch.contestants().items():
        rounds = 1 if score.endswith("methods") else given.rounds
        row = {
            "score": score,
            "case": f"{given.arch}, {given.size} px, batch {given.batch_size}",
            **compared(ours, theirs, rounds),
            "machine": machine(images.device),
        }
        print({name: value for name, value in row.items() if name != "machine"}, flush=True)
        rows.append(row)
    print(rows[0]["machine"])
    if given.csv is not None:
        append_rows(given.csv, rows)


def compared(ours: Run, theirs: Run, rounds: int) -> dict[str, str]:
    """Time both in turn, who begins changing, and compare what they found."""
    taken: list[tuple[float, ...]] = []
    for turn in range(rounds):
        if turn % 2:
            other, own = timed(theirs), timed(ours)
        else:
            own, other = timed(ours), timed(theirs)
        taken.append((*own[1:], *other[1:], other[1] / own[1], other[2] / own[2]))
    names = ("seconds", "cpu_seconds", "quantus_seconds", "quantus_cpu_seconds")
    names += ("times_ours", "cpu_times_ours")
    found = {
        name: f"{median(column):.3g}"
        for name, column in zip(names, zip(*taken, strict=True), strict=True)
    }
    apart = ""
    if own[0] is not None and other[0] is not None:
        apart = f"{np.nanmax(np.abs(own[0] - other[0])) / np.nanstd(other[0]):.1e}"
    return found | {"difference": apart, "rounds": str(rounds)}


def painted(count: int, size: int) -> tuple[Tensor, NDArray[np.uint8]]:
    """Paint ``(count, 3, size, size)`` eyes with their ``(count, size, size)`` region maps."""
    people = draw_population(Population(patients=-(-count // 2), cue="none"))
    eyes = [paint_photograph(row) for row in people.to_dict("records")[:count]]
    pixels, regions = (
        np.stack([cv2.resize(each, (size, size), interpolation=how) for each in stack])
        for stack, how in (
            ([eye.image for eye in eyes], cv2.INTER_AREA),
            ([eye.regions for eye in eyes], cv2.INTER_NEAREST),
        )
    )
    return to_images(pixels), regions


def gradient(model: nn.Module, images: Tensor) -> Tensor:
    """Sum of the logit's gradient over RGB, ``(n, H, W)``."""
    images = images.detach().requires_grad_()
    (found,) = torch.autograd.grad(model(images).sum(), images)
    return found.sum(dim=1)


@dataclass(frozen=True)
class Batch:
    """One batch that both score.

    Attributes:
        model: The network.
        images: ``(N, 3, H, W)``.
        maps: ``(N, H, W)`` input gradients.
        regions: ``(N, H, W)`` uint8 region maps.
    """

    model: nn.Module
    images: Tensor
    maps: Tensor
    regions: NDArray[np.uint8]

    def contestants(self) -> Mapping[str, tuple[Run, Run]]:
        """Ours and theirs by score; each gives what it found, or None where draws differ."""
        return {
            "sparseness (Gini)": (lambda: gini(self.maps).numpy(), self.sparseness),
            "pointing game, relevance mass and rank": (self.located, self.locations),
            "deletion and insertion": (self.curves, self.flipped),
            "infidelity": (self.removed, self.infidelity),
            "max-sensitivity": (self.noise, self.noises),
            f"infidelity of {METHODS} methods": (
                partial(self.removed, METHODS),
                partial(self.infidelity, METHODS),
            ),
        }

    @cached_property
    def explained(self) -> Explained:
        """Maps with their sign."""
        return Explained.make(self.model, self.images, self.maps)

    @cached_property
    def unsigned(self) -> Explained:
        """Maps without it."""
        return Explained.make(self.model, self.images, self.maps, signed=False)

    @cached_property
    def areas(self) -> PartAreas:
        """Parts and shams, which Quantus is given as well."""
        return PartAreas(self.regions)

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """``(M, N, H, W)`` parts and shams."""
        return np.stack([*self.areas.masks.values(), *self.areas.shams.values()])

    def asked(
        self,
        name: str,
        maps: Tensor,
        mask: NDArray[np.bool_] | None = None,
        *,
        explain: Callable[..., NDArray[np.float32]] | None = None,
        **how: object,
    ) -> Values:
        """Scores of Quantus for the class that each image is given."""
        found = getattr(quantus, name)(**(QUIET | how))(
            model=two_logits(self.model).eval(),
            x_batch=self.images.contiguous().numpy(),
            y_batch=(self.explained.direction > 0).long().numpy(),
            a_batch=maps[:, None].numpy().copy(),
            s_batch=None if mask is None else mask[:, None],
            explain_func=explain,
            softmax=False,
            channel_first=True,
            batch_size=len(self.images),
        )
        return np.asarray(found, np.float64)

    def sparseness(self) -> Values:
        """Theirs."""
        return self.asked("Sparseness", self.maps.abs())

    def located(self) -> Values:
        """Ours, ``(3, N, M)``; a copy forgets the order of pixels."""
        own = Localised(replace(self.unsigned), self.areas)
        found = (own.pointing_game(tolerance=0), own.relevance_mass, own.relevance_rank)
        return torch.stack(found).numpy()

    def locations(self) -> Values:
        """Theirs, ``(3, N, M)``."""
        names = ("PointingGame", "RelevanceMassAccuracy", "RelevanceRankAccuracy")
        maps = self.maps.abs()
        found = np.array([[self.asked(name, maps, mask) for mask in self.masks] for name in names])
        shown = self.masks.any(axis=(2, 3))
        return np.where(shown, found, np.nan).transpose(0, 2, 1)

    def curves(self) -> Values:
        """Ours, ``(2, N, K)``."""
        own = replace(self.explained)
        found = deletion_insertion(own, fills=("black",), levels=LEVELS, blur=0.1)["black"]
        return np.stack([found.deletion[:, 1:].numpy(), found.insertion[:, :-1].numpy()])

    def flipped(self) -> Values:
        """Theirs, ``(2, N, K)``: two logits are ±z/2."""
        step = 3 * self.maps[0].numel() // LEVELS
        most, least = (
            2
            * self.asked(
                "PixelFlipping",
                sign * self.explained.directed,
                features_in_step=step,
                perturb_baseline=0.0,
            )
            for sign in (1, -1)
        )
        return np.stack([most, least[:, ::-1]])

    def removed(self, methods: int = 1) -> None:
        """Ours."""
        removals = remove_subsets(
            self.explained,
            patch=PATCH,
            removed_shares=(0.5,),
            subsets=self.maps[0].numel() // PATCH**2,
            fill="black",
            blur=0.1,
            seed=0,
        )
        for _ in range(methods):
            infidelity(removals, self.explained.directed)

    def infidelity(self, methods: int = 1) -> None:
        """Theirs."""
        how = {"perturb_patch_sizes": [PATCH], "n_perturb_samples": 1}
        for _ in range(methods):
            self.asked("Infidelity", self.explained.directed, **how)

    def noise(self) -> Values:
        """Ours."""
        how = {"radius": RADIUS, "draws": DRAWS, "seed": 0}
        return max_sensitivity(self.explained, gradient, **how).double().numpy()

    def noises(self) -> Values:
        """Theirs, with the same noise."""
        generator = torch.Generator().manual_seed(0)
        plain = self.images.contiguous()

        def noisy(arr: NDArray[np.float32], **_: object) -> NDArray[np.float32]:
            drawn = torch.rand(plain.shape[1:], generator=generator)
            changed = torch.from_numpy(arr).view_as(plain) + RADIUS * (2 * drawn - 1)
            return changed.clamp(0, 1).flatten(1).numpy()

        def explain(inputs: NDArray[np.float32], **_: object) -> NDArray[np.float32]:
            return gradient(self.model, torch.from_numpy(inputs))[:, None].numpy()

        how = {"nr_samples": DRAWS, "perturb_func": noisy}
        return self.asked("MaxSensitivity", self.maps, explain=explain, **how)


def timed(run: Run) -> tuple[Values | None, float, float]:
    """Run once, and say in how many seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
