"""How fast is a path of budgets? Against `robustness` doing budget by budget, and bare passes.

Both push the same eyes inside the same budgets, in turn, and medians are compared:

    python -m benchmarks.modulation --model models/robust --photographs data/eyes --size 300

`robustness` runs each budget from the eye, with as many steps as it needs to turn as many eyes as
ours (`--library_steps`, to be raised until success is equal), in fp32, as its users run it. Its
pictures are rounded and scored as ours are. `bare` repeats the passes that ours makes, each with
its number of images, forward and backward in the same precision and folded, or forward in fp32.
`ours, 10 times the steps` says what a longer schedule would find. Without `--model` the network is
untrained, its bias moved so that it calls half of the eyes male.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.attacks import eyes_of, network_of
from fundus_ml.attacks import frozen
from fundus_ml.attacks.folding import folded
from fundus_ml.effects import logits_of
from fundus_ml.imaging.pictures import to_images
from fundus_ml.modulation import ModulationOptions, modulate
from fundus_ml.precision import autocast, best_device

if TYPE_CHECKING:
    from collections.abc import Callable

Pictures = NDArray[np.uint8]


class Pass(NamedTuple):
    """One pass through the network: of how many images, with a gradient, in half precision."""

    images: int
    gradient: bool
    half: bool


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
    """Time the contestants in turn and print success, mean P(target) and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a classifier; untrained without")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files; painted without")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--eps", type=float, nargs="+", default=[0.5, 1, 2, 4, 8, 16])
    parser.add_argument("--attack_steps", type=int, default=10)
    parser.add_argument("--library_steps", type=int, default=20)
    parser.add_argument("--longer", action="store_true", help="also run ten times the steps")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device = best_device()
    pixels = eyes_of(given.photographs, given.images, given.size)
    model = network_of(given.model, given.arch, to_images(pixels)).to(device)
    last = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    target = (logits_of(model, pixels, batch_size=given.batch_size) <= 0).astype(np.float32)
    options = ModulationOptions(
        eps=tuple(given.eps), attack_steps=given.attack_steps, batch_size=given.batch_size
    )
    library = replace(
        options,
        attack_engine="robustness",
        attack_steps=given.library_steps,
        precision="fp32",
    )
    print(f"{given}\n{device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    contestants: dict[str, Callable[[], Pictures]] = {
        "ours": lambda: modulate(last, pixels, target, options),
        "robustness": lambda: modulate(model, pixels, target, library),
    }
    found = {name: run() for name, run in contestants.items()}
    if given.longer:
        ten = replace(options, attack_steps=10 * given.attack_steps)
        found["ours, 10 times the steps"] = modulate(last, pixels, target, ten)
    watched = Watched(last)
    modulate(watched, pixels, target, options)
    contestants["bare"] = lambda: _bare(last, pixels, watched.passes)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(given.rounds):
        order = list(contestants.items())
        for name, run in order if turn % 2 == 0 else reversed(order):
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    made = given.images * len(given.eps)
    print(f"{'':26}{'seconds':>9}{'pictures/s':>12}{'it / ours':>11}")
    for name, taken in seconds.items():
        ratio = median(its / own for its, own in zip(taken, seconds["ours"], strict=True))
        print(f"{name:26}{median(taken):9.2f}{made / median(taken):12.2f}{ratio:11.3f}")
    print(f"\nturned, and mean P(target), at eps {' '.join(f'{eps:g}' for eps in given.eps)}")
    for name, pictures in found.items():
        seen = [_seen(model, slab, target, given.batch_size) for slab in pictures]
        shares = " ".join(f"{turned:6.1%} {prob:.3f} " for turned, prob in seen)
        print(f"{name:26}{shares}")


def _seen(
    model: nn.Module, slab: Pictures, target: NDArray[np.float32], batch_size: int
) -> tuple[float, float]:
    margin = (2 * target - 1) * logits_of(model, slab, batch_size=batch_size)
    return float((margin > 0).mean()), float((1 / (1 + np.exp(-margin))).mean())


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
