"""How fast is a path of budgets? Against `robustness` doing budget by budget, and bare passes.

Both push the same eyes inside the same budgets, in turn; each round takes the next eyes:

    python -m benchmarks.modulation --model models/robust --photographs data/eyes --size 300

`robustness` runs each budget from the eye, in fp32, with each number of `--library_steps`: it is
compared at the fewest that turn as many eyes as ours. Its network is channels-last too, its
pictures are rounded and scored as ours are. `bare` repeats the passes that ours makes, each with
its number of images, forward and backward in the same precision and folded, or forward in fp32.
`--longer` says what ten times the steps would find. Seconds and ratios are medians over rounds,
success is of all eyes. Without `--model` the network is untrained, its bias moved so that it calls
half of the eyes male.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from benchmarks.attacks import eyes_of, network_of, timed
from fundus_ml.attacks import frozen
from fundus_ml.attacks.folding import folded
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.precision import autocast, best_device
from fundus_ml.modulation import ModulationOptions, modulate
from fundus_ml.modulation.effects import logits_of

Pictures = NDArray[np.uint8]
EPS = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.2)
OURS, BARE = "ours", "bare"


class Pass(NamedTuple):
    """One pass through the network: of how many images, with a gradient, in half precision."""

    images: int
    gradient: bool
    half: bool


class Round(NamedTuple):
    """By contestant: the seconds it took, the ``(E, N)`` signed logits of its pictures."""

    seconds: dict[str, float]
    margins: dict[str, NDArray[np.float64]]


class Watched(nn.Module):
    """Notes each pass; no attack folds it, since its ``forward`` cannot be traced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes: list[Pass] = []

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N,)``."""
        half = torch.is_autocast_enabled(images.device.type)
        self.passes.append(Pass(len(images), images.requires_grad, half))
        logit: Tensor = self.model(images)
        return logit


def main() -> None:
    """Time the contestants in turn and print ratios, success and mean P(target)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a classifier; untrained without")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files; painted without")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--images", type=int, default=8, help="in each round")
    parser.add_argument("--first_image", type=int, default=0, help="eyes to leave out before")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--eps", type=float, nargs="+", default=EPS)
    parser.add_argument("--attack_steps", type=int, default=3)
    parser.add_argument("--library_steps", type=int, nargs="+", default=[7, 10])
    parser.add_argument("--longer", action="store_true", help="also run ten times the steps")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device = best_device()
    last_image = given.first_image + given.rounds * given.images
    everyone = eyes_of(given.photographs, last_image, given.size)[given.first_image :]
    model = network_of(given.model, given.arch, to_images(everyone)).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = ModulationOptions(
        eps=tuple(given.eps), attack_steps=given.attack_steps, batch_size=given.batch_size
    )
    hows = {OURS: options} | {
        f"robustness, {steps} steps": replace(
            options, attack_engine="robustness", attack_steps=steps, precision="fp32"
        )
        for steps in given.library_steps
    }
    if given.longer:
        hows["ours, 10 times the steps"] = replace(options, attack_steps=10 * given.attack_steps)
    print(f"{given}\n{device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    rounds = [
        _race(model, pixels, hows, backwards=turn % 2 == 1)
        for turn, pixels in enumerate(np.split(everyone, given.rounds))
    ]
    made = given.images * len(given.eps)
    print(f"\n{'':26}{'seconds':>9}{'pictures/s':>12}{'it / ours':>11}")
    for name in rounds[0].seconds:
        taken = median(one.seconds[name] for one in rounds)
        ratio = median(one.seconds[name] / one.seconds[OURS] for one in rounds)
        print(f"{name:26}{taken:9.2f}{made / taken:12.2f}{ratio:11.3f}")
    print(f"\nturned, and mean P(target), at eps {' '.join(f'{eps:g}' for eps in given.eps)}; all")
    for name in hows:
        margin = np.concatenate([one.margins[name] for one in rounds], axis=1)
        flipped, prob = (margin > 0).mean(axis=1), expit(margin).mean(axis=1)
        shares = " ".join(f"{one:6.1%} {two:.3f} " for one, two in zip(flipped, prob, strict=True))
        print(f"{name:26}{shares}  {(margin > 0).mean():6.1%} {expit(margin).mean():.3f}")


def _race(
    model: nn.Module, pixels: Pictures, hows: dict[str, ModulationOptions], *, backwards: bool
) -> Round:
    """Let each contestant push the same eyes, in turn."""
    batch_size = hows[OURS].batch_size
    target = (logits_of(model, pixels, batch_size=batch_size) <= 0).astype(np.float32)
    watched = Watched(model)
    modulate(watched, pixels, target, hows[OURS])
    contestants = {
        name: partial(modulate, model, pixels, target, how) for name, how in hows.items()
    }
    contestants[BARE] = partial(_bare, model, pixels, watched.passes)
    order = list(contestants)
    seconds, margins = {}, {}
    for name in reversed(order) if backwards else order:
        pictures, seconds[name] = timed(contestants[name], next(model.parameters()).device)
        if name in hows:
            found = [logits_of(model, slab, batch_size=batch_size) for slab in pictures]
            margins[name] = (2 * target - 1) * np.stack(found)
    print({name: round(seconds[name], 1) for name in order}, flush=True)
    return Round({name: seconds[name] for name in order}, margins)


def _bare(model: nn.Module, pixels: Pictures, passes: list[Pass]) -> Pictures:
    """Make the passes that were noted, and nothing else."""
    device = next(model.parameters()).device
    images = to_images(pixels, device)
    with frozen(model):
        quick = folded(model)
        for made in passes:
            x = images[: made.images].detach().requires_grad_(made.gradient)
            precision = "auto" if made.half else "fp32"
            with torch.set_grad_enabled(made.gradient), autocast(precision, device):
                logit = (quick if made.half else model)(x)
            if made.gradient:
                torch.autograd.grad(logit.float().sum(), x)
    return pixels[None]


if __name__ == "__main__":
    main()
