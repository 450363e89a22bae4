"""How much of an attribution's time is the passes it needs?

Every method maps the same eyes, in turn with a plain loop that makes as many passes of as many
pictures and nothing else; medians over rounds whose order alternates:

    python -m benchmarks.attribution --size 128 --arch efficientnet_lite0 --csv rows.csv

`share_of_bare` is the seconds of the loop over those of the method, the median over rounds: 1 where
the method costs nothing beyond its passes, above 1 where folding BatchNorm saves more than the
method costs. `folded_share` is the same against a loop through the folded network, folded
beforehand. Seconds are CPU time of this process, which other work on the machine disturbs less; on
a GPU, wall time. Controls make no pass and have seconds alone. The eyes are painted, the network is
untrained. `--methods` names some.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.attacks import eyes_of, network_of
from benchmarks.machine import machine
from benchmarks.rows import append_rows
from fundus_ml.attacks import frozen
from fundus_ml.attacks.folding import folded
from fundus_ml.attribution import METHODS, AttributionOptions, attribute, cannot_serve
from fundus_ml.attribution.spatial_levels import last_level
from fundus_ml.imaging.pictures import to_images
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.models.precision import best_device

CAMS = ("grad_cam", "grad_cam_plus_plus")
FOLDED = ("smoothgrad", "smoothgrad_squared", "integrated_gradients", "occlusion", "xrai")


class Counted(nn.Module):
    """Notes the pictures of each pass and whether it has a gradient; nothing can fold it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes: list[tuple[int, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N,)``."""
        self.passes.append((len(images), images.requires_grad))
        logit: Tensor = self.model(images)
        return logit


def main() -> None:
    """Time methods and loops in turn and print medians and shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--arch", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--csv", type=Path, help="file that gets a row per method")
    given = parser.parse_args()
    device = best_device()
    images = to_images(eyes_of(None, given.images, given.size), device)
    model = network_of(None, given.arch, images).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    regions = np.full((given.images, given.size, given.size), REGION_FLAGS["vessels"], np.uint8)
    options = AttributionOptions(batch_size=given.batch_size)
    print(f"{given}\n{machine(device)}\n")
    rows = []
    for method in given.methods:
        reason = cannot_serve(method, model)
        if reason is not None:
            print(f"{method:22} {reason}")
            continue
        run = partial(attribute, method, model, images, options=options, regions=regions)
        counted = Counted(model)
        attribute(method, counted, images, options=options, regions=regions)
        contestants = {"ours": run} | _loops(method, model, images, counted.passes)
        seconds = _race(contestants, given.rounds, device)
        row = {
            "case": f"{given.arch}, {given.size} px, {given.images} eyes, batch {given.batch_size}",
            "method": method,
            "pictures_per_eye": f"{sum(count for count, _ in counted.passes) / given.images:g}",
            "seconds_per_eye": f"{median(seconds['ours']) / given.images:.4f}",
            "share_of_bare": _share(seconds, "bare"),
            "folded_share": _share(seconds, "folded"),
            "machine": machine(device),
        }
        rows.append(row)
        print(f"{method:22}" + "".join(f"{row[name]:>10}" for name in list(row)[2:-1]), flush=True)
        if given.csv is not None:
            append_rows(given.csv, [row])


def _loops(
    method: str, model: nn.Module, images: Tensor, passes: list[tuple[int, bool]]
) -> dict[str, Callable[[], object]]:
    """Make what the method is held against: the passes that it made, and nothing else."""
    if not passes:
        return {}
    if method in CAMS:
        return {"bare": partial(_to_last_level, model, images, passes)}
    loops: dict[str, Callable[[], object]] = {"bare": partial(_bare, model, images, passes)}
    if method in FOLDED or method == "modulation":
        with frozen(model):
            loops["folded"] = partial(_bare, folded(model), images, passes)
    return loops


def _bare(model: nn.Module, images: Tensor, passes: list[tuple[int, bool]]) -> None:
    copies = -(-max(count for count, _ in passes) // len(images))
    images = images.repeat(copies, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    with frozen(model):
        for count, gradient in passes:
            x = images[:count].detach().requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                logit = model(x)
            if gradient:
                torch.autograd.grad(logit.sum(), x)


def _to_last_level(model: nn.Module, images: Tensor, passes: list[tuple[int, bool]]) -> None:
    """Go forward, and back to the last level alone; the pass that finds it is a bare one too."""
    given: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        given.append(output if output.requires_grad else output.detach().requires_grad_())
        return given[-1]

    with frozen(model):
        level = last_level(model, images[:1], run=torch.no_grad()(model))
        handle = level.layer.register_forward_hook(keep)
        for count, gradient in passes[1:]:
            logit = model(images[:count].detach().requires_grad_(gradient))
            torch.autograd.grad(logit.sum(), given.pop())
        handle.remove()


def _race(
    contestants: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Let each run once unmeasured, then in turn."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        order = list(contestants)
        for name in order if turn % 2 else reversed(order):
            started = clock()
            contestants[name]()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(clock() - started)
    return seconds


def _share(seconds: dict[str, list[float]], name: str) -> str:
    if name not in seconds:
        return ""
    shares = (its / own for its, own in zip(seconds[name], seconds["ours"], strict=True))
    return f"{median(shares):.3f}"


if __name__ == "__main__":
    main()
