"""Which method of adversarial training makes a network robust soonest?

Every method, and PGD-7 made by the `robustness` library, trains the same network from the same
weights on the same eyes; after each epoch PGD-20 judges all of them alike:

    python -m benchmarks.robust_training --dataset data/odir --eps 0.5 --epochs 4
    python -m benchmarks.robust_training --people 60 --size 64 --epochs 4

Epochs are interleaved: each contestant learns its first epoch, then each its second, so that other
work on the machine slows all of them. Seconds are those of the training steps, attacks included;
judging is not counted. `library pgd-7` runs its attacker and its passes in fp32, as it does; ours
run in `--precision`. `seconds to reach` is when a contestant has first come within 0.01 of the best
that `library pgd-7` comes to, and `ratio` how many times sooner that is than there.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullLocator
from robustness.attacker import Attacker
from torch import Tensor, nn

from benchmarks.library import StaysHere
from fundus_ml.attacks import ThreatModel, step_length
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.figures.style import legend, make_figure, series_styles, tidy
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, two_logits
from fundus_ml.models.precision import best_device
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.robust_training import METHODS, Method, PGDTraining, fit_robust, make_method
from fundus_ml.robust_training.method import Errors
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.training import Batch, Checkpoints, TrainingOptions, fit
from fundus_ml.training.distribution import bare

LIBRARY = "library pgd-7"
STEPS, JUDGE_STEPS = 7, 20
REPLAYS = 4
"""Replays of free, unless there are fewer epochs."""
CLOSE = 0.01
"""AUROC below the library's best that counts as having come to it."""


class RowMajor(nn.Module):
    """Two logits whose gradient has the layout that the library's ``.view`` can read."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = two_logits(model)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, 2)``."""
        found: Tensor = self.model(images.flatten(1).view(images.shape))
        return found


@dataclass(frozen=True, kw_only=True)
class LibraryTraining:
    """PGD by ``robustness.attacker``: a method, with the network in evaluation mode meanwhile."""

    threat: ThreatModel
    replays: int = 1

    def losses(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        share: float,  # noqa: ARG002 (a method; nothing warms up here)
        errors: Errors,
        generator: torch.Generator,  # noqa: ARG002 (it draws nothing)
    ) -> Tensor:
        """Cross-entropy of the images that the library found."""
        assert isinstance(self.threat.eps, float)
        unit = nn.Module()
        unit.mean, unit.std = torch.zeros(3), torch.ones(3)
        network = bare(model).eval()
        images = batch.images.contiguous()
        x_adv = Attacker(RowMajor(network), unit)(
            images,
            batch.labels.long(),
            orig_input=images.as_subclass(StaysHere),
            constraint={"l2": "2", "linf": "inf"}[self.threat.constraint],
            eps=self.threat.eps,
            step_size=step_length("auto", eps=self.threat.eps, attack_steps=STEPS),
            iterations=STEPS,
            use_best=True,
            should_normalize=False,
        )
        network.train()
        return errors(model(x_adv.detach()).float())


@dataclass
class Contestant:
    """One method under way.

    Attributes:
        method: What it learns.
        options: How.
        seconds: Spent in training steps at the end of each epoch.
        aurocs: Under the validation attack, then.
    """

    method: Method
    options: TrainingOptions
    seconds: list[float] = field(default_factory=list)
    aurocs: list[float] = field(default_factory=list)


class EpochOverError(Exception):
    """Leaves the training until the others have learned their epoch."""


class EpochRunner:
    """Lets contestants learn in turn, an epoch each, from one start and on the same eyes."""

    def __init__(
        self, start: nn.Module, dataset: FundusDataset, validation_attack: PGDTraining, kept: Path
    ) -> None:
        self.start, self.validation_attack, self.kept = start, validation_attack, kept
        self.train, self.val = dataset.split("train"), dataset.split("val")
        self.device = next(start.parameters()).device

    def epoch(self, name: str, one: Contestant) -> None:
        """Let one contestant learn its next epoch from where its checkpoint stands."""
        epoch, begun, ended = len(one.aurocs) + 1, 0.0, 0.0

        def on_step(_done: int, _total: int) -> None:
            nonlocal ended
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            ended = time.perf_counter()

        def on_epoch_end(row: Mapping[str, float]) -> None:
            nonlocal begun
            if row["epoch"] == epoch:
                one.aurocs.append(row["robust_val_auroc"])
                raise EpochOverError
            begun = time.perf_counter()

        checkpoints = Checkpoints(self.kept / name.replace(" ", "-"), {})
        model = deepcopy(self.start)
        begun = time.perf_counter()
        try:
            fit_robust(
                model,
                self.train,
                self.val,
                one.options,
                method=one.method,
                validation_attack=self.validation_attack,
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=on_epoch_end,
            )
        except EpochOverError:
            before = one.seconds[-1] if one.seconds else 0.0
            one.seconds.append(before + ended - begun)


def main() -> None:
    """Train all contestants, print their table and draw their curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", help="dataset folder; synthetic eyes without")
    parser.add_argument("--people", type=int, default=300, help="of the synthetic eyes")
    parser.add_argument("--size", type=int, default=64, help="side of the synthetic eyes")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--constraint", choices=("l2", "linf"), default="l2")
    parser.add_argument("--eps", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--clean_epochs", type=int, default=4, help="that all begin with")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("robust_training.png"))
    given = parser.parse_args()
    print(f"{given}\n{best_device()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.dataset or str(_synthetic(given, Path(scratch) / "eyes"))
        dataset = open_dataset(folder)
        contestants = _contestants(given)
        runner = EpochRunner(_start(given, dataset), dataset, _judge(given), Path(scratch) / "kept")
        for turn in range(given.epochs):
            order = list(contestants.items())
            for name, one in order if turn % 2 == 0 else reversed(order):
                runner.epoch(name, one)
                print(f"{name:16}epoch {turn + 1}: {one.aurocs[-1]:.3f} at {one.seconds[-1]:.1f} s")
    _report(contestants)
    _draw(contestants, given)


def _contestants(given: argparse.Namespace) -> dict[str, Contestant]:
    threat = ThreatModel(constraint=given.constraint, eps=given.eps)
    options = {
        precision: TrainingOptions(
            epochs=given.epochs,
            batch_size=given.batch_size,
            lr=given.lr,
            seed=given.seed,
            precision=precision,
        )
        for precision in (given.precision, "fp32")
    }
    ours = {
        name: make_method(
            name,
            threat=threat,
            step_size="auto",
            attack_steps=STEPS,
            random_start=False,
            replays=min(REPLAYS, given.epochs),
            precision=given.precision,
        )
        for name in given.methods
    }
    library = Contestant(LibraryTraining(threat=threat), options["fp32"])
    return {LIBRARY: library} | {
        name: Contestant(method, options[given.precision]) for name, method in ours.items()
    }


def _judge(given: argparse.Namespace) -> PGDTraining:
    return PGDTraining(
        threat=ThreatModel(constraint=given.constraint, eps=given.eps),
        step_size=step_length("auto", eps=given.eps, attack_steps=JUDGE_STEPS),
        attack_steps=JUDGE_STEPS,
        precision="fp32",
    )


def _start(given: argparse.Namespace, dataset: FundusDataset) -> nn.Module:
    """Train the network that all begin with, on clean images."""
    spec = ClassifierSpec(
        arch=given.arch,
        head_hidden=256,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
    )
    model = make_classifier(spec, seed=given.seed).to(best_device())
    if not given.clean_epochs:
        return model
    options = TrainingOptions(
        epochs=given.clean_epochs, batch_size=given.batch_size, lr=given.lr, seed=given.seed
    )
    fitted = fit(model, dataset.split("train"), dataset.split("val"), options)
    print(f"all begin with validation AUROC {fitted.history['val_auroc'].max():.3f}, clean")
    return fitted.model


def _synthetic(given: argparse.Namespace, folder: Path) -> Path:
    population = Population(patients=given.people, cue="disc", seed=given.seed)
    options = PreprocessingOptions(
        size=given.size, permutations=20, same_person=False, val_fraction=0.3, test_fraction=0.1
    )
    preprocess(synthetic_photographs(population), folder, options, recipe={})
    return folder


def _reached(one: Contestant, auroc: float) -> float:
    there = np.flatnonzero(np.array(one.aurocs) >= auroc)
    return one.seconds[there[0]] if len(there) else float("nan")


def _report(contestants: Mapping[str, Contestant]) -> None:
    wanted = max(contestants[LIBRARY].aurocs) - CLOSE
    slow = _reached(contestants[LIBRARY], wanted)
    print(f"\n{'':16}{'s/epoch':>9}{'best robust AUROC':>19}{f'seconds to reach {wanted:.3f}':>25}"
          f"{'ratio':>8}")  # fmt: skip
    for name, one in contestants.items():
        reached = _reached(one, wanted)
        print(
            f"{name:16}{one.seconds[-1] / len(one.seconds):9.2f}{max(one.aurocs):19.3f}"
            f"{reached:25.1f}{slow / reached:8.2f}"
        )


def _draw(contestants: Mapping[str, Contestant], given: argparse.Namespace) -> None:
    figure = make_figure(8, 4)
    axes = figure.subplots()
    for (name, one), (colour, marker) in zip(
        contestants.items(), series_styles(len(contestants)), strict=True
    ):
        axes.plot(one.seconds, one.aurocs, color=colour, marker=marker, markersize=4, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    tidy(
        axes,
        xlabel="seconds of training, attacks included",
        ylabel="validation AUROC under PGD-20",
        title=f"{given.arch}, {given.constraint} eps {given.eps:g}, a mark per epoch",
    )
    legend(axes)
    figure.savefig(given.figure, dpi=150)
    print(f"drawn: {given.figure}")


if __name__ == "__main__":
    main()
