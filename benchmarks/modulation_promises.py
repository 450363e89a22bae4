"""Does a modulation keep what it promises, with this network, on these eyes?

Modulates eyes of a dataset's test split, writes and reads the PNG files, and measures:

    python -m benchmarks.modulation_promises --model models/robust --dataset data/eyes

*falls*: by how much P(target) ever falls from one budget to the next. *scored again*: the largest
difference between what a picture scored and what its file scores in a fresh copy of the network,
in batches of another size. *size*: the longest change over its budget. *outside*: values that
changed outside `--region`. *longer*: how many more of the eyes ten times the steps turn, in points,
at each budget. *least*: the first of budgets spaced by 1 % at which PGD of `--sweep_steps` from the
eye turns it, over the minimal perturbation norm that was found; quantiles over eyes.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.data.opening import open_dataset
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.precision import best_device
from fundus_ml.models.weights import load_classifier
from fundus_ml.modulation import (
    Chosen,
    ModulationOptions,
    allowed_pixels,
    choose_eyes,
    modulate,
    push,
    read_pictures,
    write_pictures,
)
from fundus_ml.modulation.budget_path import mask_of
from fundus_ml.modulation.effects import SEEN, effect_rows, prob_of_target

SWEEP = np.arange(0.90, 1.11, 0.01)
"""Shares of the minimal perturbation norms at which the eyes are tried."""


def main() -> None:
    """Modulate, read back, and print a line per promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a classifier")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--eps", type=float, nargs="+", default=[0.5, 1, 2, 4, 8, 16])
    parser.add_argument("--attack_steps", type=int, default=20)
    parser.add_argument("--region", default="whole")
    parser.add_argument("--constraint", default="l2")
    parser.add_argument("--swept", type=int, default=16, help="eyes of which budgets are swept")
    parser.add_argument("--sweep_steps", type=int, default=100)
    given = parser.parse_args()
    print(f"{given}\n")
    model = load_classifier(given.model).to(best_device())
    test = open_dataset(given.dataset).split("test")
    eyes = test.select(choose_eyes(test.frame, images=given.images, mode="flip", seed=0))
    everyone = np.arange(len(eyes))
    pixels, target = eyes.pixels(everyone), 1 - eyes.labels
    allowed = allowed_pixels(given.region, eyes.regions(everyone), shape=pixels.shape[:3])
    options = ModulationOptions(
        eps=tuple(given.eps), attack_steps=given.attack_steps, constraint=given.constraint
    )
    chosen = Chosen(pixels=pixels, target=target, region=given.region, allowed=allowed)
    pushed = push(model, chosen, options)
    with tempfile.TemporaryDirectory() as folder:
        names = eyes.frame["image_id"].tolist()
        files = write_pictures(pixels, pushed.modulated, names, options.eps, Path(folder))
        pictures = read_pictures(files)
    rows = effect_rows(model, pixels, pictures, frame=eyes.frame, target=target, options=options)
    prob = rows["prob_target"].to_numpy().reshape(len(given.eps), -1)
    before = rows["prob_target_before"].to_numpy()[: len(pixels)]
    falls = -np.diff(np.vstack([before, prob]), axis=0).min()
    fresh = load_classifier(given.model).to(best_device())
    again = np.stack([prob_of_target(fresh, slab, target, batch_size=7) for slab in pictures])
    size = rows["l2" if given.constraint == "l2" else "linf"]
    outside = 0 if allowed is None else int((pictures != pixels)[:, ~allowed].sum())
    print(f"{len(pixels)} eyes, {given.region}, {len(given.eps)} budgets")
    print(f"falls         {max(falls, 0):.2e}")
    print(f"scored again  {np.abs(again - prob).max():.2e}")
    print(f"size          {(size / rows['eps']).max():.6f}")
    print(f"outside       {outside} values")
    ten = replace(options, attack_steps=10 * given.attack_steps)
    longer = modulate(model, pixels, target, ten, allowed=allowed)
    flipped = rows["success"].to_numpy().reshape(prob.shape).mean(axis=1)
    found = [prob_of_target(model, slab, target, batch_size=options.batch_size) for slab in longer]
    gain = (np.stack(found) > SEEN).mean(axis=1) - flipped
    for eps, own, more in zip(given.eps, flipped, gain, strict=True):
        print(f"longer        eps {eps:g}: {own:.1%} flipped, {100 * more:+.1f} points")
    ratio = _swept(model, chosen, pushed.min_norms[given.region], given)
    shown = " ".join(
        f"{one:.3f}" for one in np.quantile(ratio, [0, 0.05, 0.5, 0.95, 1], method="nearest")
    )
    print(f"least         {len(ratio)} eyes: {shown} (least, 5 %, middle, 95 %, largest)")


def _swept(
    model: nn.Module, eyes: Chosen, min_norms: NDArray[np.float64], given: argparse.Namespace
) -> NDArray[np.float64]:
    """Smallest tried share of its minimal perturbation norm that flips each eye, else inf."""
    device = next(model.parameters()).device
    asked = np.flatnonzero(np.isfinite(min_norms) & (min_norms > 0))[: given.swept]
    images = to_images(eyes.pixels[asked], device)
    aim = torch.from_numpy(eyes.target[asked]).to(device)
    mask = None if eyes.allowed is None else mask_of(eyes.allowed[asked], device)
    found = np.full(len(asked), np.inf)
    for share in tqdm(SWEEP[::-1], "sweep"):
        radius = torch.from_numpy(share * min_norms[asked]).float()
        x_adv = pgd(
            model,
            images,
            1 - aim,
            target=aim,
            threat=ThreatModel(constraint=given.constraint, eps=radius, mask=mask),
            step_size=2.5 * radius / given.sweep_steps,
            attack_steps=given.sweep_steps,
            decay="linear",
            leave_solved=True,
            precision="fp32",
        )
        with torch.no_grad():
            solved = ((2 * aim - 1) * model(x_adv) > 0).cpu().numpy()
        found[solved] = share
    return found


if __name__ == "__main__":
    main()
