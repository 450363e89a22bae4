"""How fast is our PGD, and what does it find? Against `robustness`, torchattacks, bare passes.

All contestants attack the same eyes with the same network, in turn, and medians are compared:

    python -m benchmarks.attacks --arch resnet18 --size 160 --precision fp32 --csv rows.csv

`bare` is the cost of the passes alone: as many forward and backward passes of the network as given,
and the last one forward, with frozen parameters, channels-last and in the precision of `ours`.
`bare, folded` makes them with each BatchNorm folded into its convolution, as `ours` does: no attack
that makes as many passes can be faster. `robustness` and `torchattacks` run as their users run
them, in fp32. `CPU s` is what all cores together took, which other work on the machine disturbs
less; set OMP_WAIT_POLICY=PASSIVE, or threads that wait count as work. `--csv` appends the rows of
`docs/results/pgd_speed.csv`. `eps` is the median of what
the eyes need to be flipped, so that about half are; `loss` is the mean cross-entropy, in fp32.
`leaving` is ours with images that leave once solved: its passes are counted image by image.
Without `--model` the network is untrained, its bias moved so that it calls half of the eyes male;
without `--photographs` the eyes are painted.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import cv2
import numpy as np
import torch
from robustness.attacker import Attacker
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.library import StaysHere
from benchmarks.machine import machine
from benchmarks.rows import append_rows
from experiments.running.memory import keep_freed_memory
from fundus_ml.attacks import ThreatModel, frozen, minimum_norm, pgd
from fundus_ml.attacks.folding import folded
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier, two_logits
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast, best_device
from fundus_ml.models.weights import load_classifier
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchattacks

Attack = Callable[[Tensor, Tensor], Tensor]
Result = TypeVar("Result")
OURS, BARE, FOLDED = "ours", "bare", "bare, folded"
LIBRARIES = ("robustness", "torchattacks")


@dataclass
class Taken:
    """What the rounds of one contestant took."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


class Counted(nn.Module):
    """Counts the images that pass; no attack folds it, since its ``forward`` cannot be traced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen = model, 0

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N,)``."""
        self.seen += len(images)
        logit: Tensor = self.model(images)
        return logit


def main() -> None:
    """Time the contestants in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a classifier; untrained without")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files; painted without")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--images", type=int, default=16, help="on which success is compared")
    parser.add_argument("--attack_steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="of ours and of bare")
    parser.add_argument("--csv", type=Path, help="file that gets a row per contestant")
    given = parser.parse_args()
    keep_freed_memory()
    device = best_device()
    images = to_images(eyes_of(given.photographs, given.images, given.size), device)
    model = network_of(given.model, given.arch, images).to(device)
    with torch.no_grad():
        labels = (torch.cat([model(part) for part in images.split(given.batch_size)]) > 0).float()
    needed = minimum_norm(model, images, labels, constraint="l2", attack_steps=40).eps
    eps = float(needed.median())
    precision = resolved(model, images[: given.batch_size], given.precision)
    print(f"{given}\nours in {precision}; {machine(device)}")
    print(f"eps {eps:.4g}: per-value RMS {eps / (3 * given.size**2) ** 0.5:.2e}\n")
    contestants = _contestants(model, eps, given.attack_steps, precision)
    found = {
        name: torch.cat(
            [
                attack(*part).detach().contiguous()
                for part in zip(
                    images.split(given.batch_size), labels.split(given.batch_size), strict=True
                )
            ]
        )
        for name, attack in contestants.items()
    }
    batch = images[: given.batch_size], labels[: given.batch_size]
    taken = {name: Taken() for name in contestants}
    for turn in range(given.rounds):
        order = list(contestants)
        for name in order if turn % 2 == 0 else reversed(order):
            before = time.process_time()
            taken[name].seconds.append(timed(partial(contestants[name], *batch), device)[1])
            taken[name].cpu_seconds.append(time.process_time() - before)
    rows = [
        {
            "case": f"{given.model or given.arch}, {given.size} px, PGD-{given.attack_steps}, "
            f"batch {given.batch_size}",
            "engine": name,
            "precision": "fp32" if name in LIBRARIES else precision,
            "machine": machine(device),
        }
        | _figures(times, taken[OURS])
        | _found(_margins(model, found[name], labels), attacks=name not in {BARE, FOLDED})
        for name, times in taken.items()
    ]
    _print(rows)
    if given.csv is not None:
        append_rows(given.csv, rows)
    _leaving(model, images, labels, eps, given.attack_steps)


def _figures(taken: Taken, ours: Taken) -> dict[str, str]:
    """Medians of a contestant, and of its rounds over those of ours."""
    ratios = [
        median(its / own for its, own in zip(*times, strict=True))
        for times in ((taken.seconds, ours.seconds), (taken.cpu_seconds, ours.cpu_seconds))
    ]
    return {
        "seconds": f"{median(taken.seconds):.2f}",
        "cpu_seconds": f"{median(taken.cpu_seconds):.2f}",
        "times_ours": f"{ratios[0]:.3f}",
        "cpu_times_ours": f"{ratios[1]:.3f}",
    }


def _found(margins: Tensor, *, attacks: bool) -> dict[str, str]:
    """Mean cross-entropy and the share that is flipped; empty of what only makes passes."""
    if not attacks:
        return {"loss": "", "percent_flipped": ""}
    flipped = 100 * float((margins > 0).float().mean())
    return {"loss": f"{float(softplus(margins).mean()):.4f}", "percent_flipped": f"{flipped:.1f}"}


def _print(rows: list[dict[str, str]]) -> None:
    shown = ("seconds", "cpu_seconds", "times_ours", "cpu_times_ours", "loss", "percent_flipped")
    print(f"{'':14}{'precision':>10}" + "".join(f"{name:>16}" for name in shown))
    for row in rows:
        values = "".join(f"{row[name]:>16}" for name in shown)
        print(f"{row['engine']:14}{row['precision']:>10}{values}")


def _contestants(
    model: Classifier, eps: float, attack_steps: int, precision: str
) -> dict[str, Attack]:
    last = deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step_size = 2.5 * eps / attack_steps
    how = {
        "threat": ThreatModel(constraint="l2", eps=eps),
        "step_size": step_size,
        "attack_steps": attack_steps,
        "precision": precision,
    }
    theirs = torchattacks.PGDL2(
        two_logits(model), eps=eps, alpha=step_size, steps=attack_steps, random_start=False
    )
    return {
        OURS: partial(pgd, last, **how),
        "leaving": partial(pgd, last, **how, leave_solved=True),
        BARE: partial(_bare, last, attack_steps, precision),
        FOLDED: partial(_bare, _frozen_fold(last), attack_steps, precision),
        "robustness": partial(
            _robustness, model, eps=eps, step_size=step_size, iterations=attack_steps
        ),
        "torchattacks": lambda images, labels: theirs(images.contiguous(), labels.long()),
    }


def _frozen_fold(model: nn.Module) -> nn.Module:
    with frozen(model):
        return folded(model)


def _bare(
    model: nn.Module, attack_steps: int, precision: str, images: Tensor, labels: Tensor
) -> Tensor:
    """As many passes as the attack makes; the last, which only scores, goes forward alone."""
    with frozen(model):
        for _ in range(attack_steps):
            x = images.detach().requires_grad_()
            with autocast(precision, images.device):
                logit = model(x)
            torch.autograd.grad((logit.float() * labels).sum(), x)
        with torch.no_grad(), autocast(precision, images.device):
            model(images)
    return images


def _robustness(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step_size: float,
    iterations: int,
) -> Tensor:
    unit = nn.Module()
    unit.mean, unit.std = torch.zeros(3), torch.ones(3)  # asked for; our model normalises inside
    plain = images.contiguous()
    found: Tensor = Attacker(two_logits(model), unit)(
        plain,
        labels.long(),
        orig_input=plain.as_subclass(StaysHere),
        constraint="2",
        eps=eps,
        step_size=step_size,
        iterations=iterations,
        use_best=True,
        should_normalize=False,
    )
    return found.detach()


def _leaving(
    model: Classifier, images: Tensor, labels: Tensor, eps: float, attack_steps: int
) -> None:
    """Count the images that pass through the network while those that are solved leave."""
    print("\nimages through the network, of those without leaving, and solved")
    for share in (0.5, 1, 2, 4):
        passed, solved = [], 0.0
        for leave in (False, True):
            counted = Counted(model)
            x_adv = pgd(
                counted,
                images,
                labels,
                threat=ThreatModel(constraint="l2", eps=share * eps),
                step_size=2.5 * share * eps / attack_steps,
                attack_steps=attack_steps,
                leave_solved=leave,
            )
            passed.append(counted.seen)
            solved = float((_margins(model, x_adv, labels) > 0).float().mean())
        print(f"eps {share * eps:8.4g}: {passed[1] / passed[0]:7.1%}   {solved:7.1%}")


def network_of(folder: Path | None, arch: str, images: Tensor) -> Classifier:
    """Load a classifier, or make one that calls half of the ``(N, 3, H, W)`` images male."""
    if folder is not None:
        return load_classifier(folder).eval()
    spec = ClassifierSpec(
        arch=arch,
        head_hidden=256,
        mean=(0.3, 0.2, 0.1),
        std=(0.2, 0.15, 0.1),
        size=images.shape[-1],
    )
    model = make_classifier(spec, seed=0).eval()
    last = model.head[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias -= model(images.cpu()).median()
    return model


def eyes_of(root: Path | None, count: int, size: int) -> np.ndarray:
    """Read or paint ``(count, size, size, 3)`` uint8 eyes."""
    if root is None:
        people = draw_population(Population(patients=-(-count // 2), cue="none"))
        pictures = [paint_photograph(row).image for row in people.to_dict("records")[:count]]
    else:
        paths = sorted(root.glob("*.jpg"))[:count]
        if len(paths) < count:
            raise SystemExit(f"{root}: {len(paths)} *.jpg there; --images asks for {count}")
        pictures = [cv2.imread(str(path))[..., ::-1] for path in paths]
    resized = [
        cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    return np.stack(resized)


def _margins(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return (1 - 2 * labels) * torch.cat([model(part) for part in images.split(8)])


def timed(run: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """Run, and say what came of it and how many seconds it took."""
    started = time.perf_counter()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
