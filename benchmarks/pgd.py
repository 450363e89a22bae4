"""How fast is our PGD? Against the `robustness` library, and against the bare passes it makes.

All contestants attack the same images with the same network, in turn, and medians are compared:

    python -m benchmarks.pgd --arch resnet18 --size 128

`bare` is the cost of the forward and backward passes alone, with frozen parameters, channels-last
and in the same precision: no attack that makes as many passes can be faster.
"""

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from robustness.attacker import Attacker
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel, frozen, pgd
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, two_logits
from fundus_ml.precision import autocast, best_device


class StaysHere(Tensor):
    """A tensor whose ``.cuda()`` is itself: `robustness` asks for it, GPU or not."""

    def cuda(self) -> Tensor:  # type: ignore[override]
        """Return the plain tensor."""
        return self.as_subclass(Tensor)


def main() -> None:
    """Time the contestants in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--attack_steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = best_device()
    generator = torch.Generator().manual_seed(0)
    spec = ClassifierSpec(
        arch=given.arch, head_hidden=256, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.1), size=given.size
    )
    model = make_classifier(spec, seed=0).eval().to(device)
    images = torch.rand(given.batch_size, 3, given.size, given.size, generator=generator).to(device)
    labels = (torch.arange(given.batch_size) % 2).float().to(device)
    eps = 3 * given.size / 224
    settings = {"eps": eps, "step_size": 2.5 * eps / given.attack_steps}

    last = deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ours_images = images.to(memory_format=torch.channels_last)
    contestants = {
        name: (
            lambda precision=precision: _ours(
                last, ours_images, labels, given, precision, **settings
            )
        )
        for name, precision in (("ours", "auto"), ("ours fp32", "fp32"))
    }
    contestants["bare"] = lambda: _bare(last, ours_images, labels, given.attack_steps + 1)
    contestants["robustness"] = lambda: _robustness(model, images, labels, given, **settings)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    found = {
        name: run() for name, run in contestants.items()
    }  # warm, and to compare what they reach
    for _ in range(given.rounds):
        for name, run in contestants.items():
            seconds[name].append(_timed(run, device))
    ours = median(seconds["ours"])
    print(f"{given}\n{device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':12}{'seconds':>10}{'images/s':>10}{'/ ours':>8}{'mean loss':>11}")
    for name, taken in seconds.items():
        middle = median(taken)
        loss = _loss(model, found[name], labels)
        rate = given.batch_size / middle
        print(f"{name:12}{middle:10.2f}{rate:10.2f}{middle / ours:8.2f}{loss:11.3f}")


def _ours(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    given: argparse.Namespace,
    precision: str,
    *,
    eps: float,
    step_size: float,
) -> Tensor:
    return pgd(
        model,
        images,
        labels,
        threat=ThreatModel(constraint="l2", eps=eps),
        step_size=step_size,
        attack_steps=given.attack_steps,
        precision=precision,
    )


def _bare(model: nn.Module, images: Tensor, labels: Tensor, passes: int) -> Tensor:
    """As many passes as the attack makes; the last, which only scores, goes forward alone."""
    with frozen(model):
        for _ in range(passes - 1):
            x = images.detach().requires_grad_()
            with autocast("auto", images.device):
                logit = model(x)
            torch.autograd.grad(binary_cross_entropy_with_logits(logit.float(), labels), x)
        with torch.no_grad(), autocast("auto", images.device):
            model(images)
    return images


def _robustness(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    given: argparse.Namespace,
    *,
    eps: float,
    step_size: float,
) -> Tensor:
    unit = nn.Module()
    unit.mean, unit.std = torch.zeros(3), torch.ones(3)  # asked for; our model normalises inside
    found: Tensor = Attacker(two_logits(model), unit)(
        images,
        labels.long(),
        orig_input=images.as_subclass(StaysHere),
        constraint="2",
        eps=eps,
        step_size=step_size,
        iterations=given.attack_steps,
        use_best=True,
        should_normalize=False,
    )
    return found.detach()


def _timed(run: Callable[[], Tensor], device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float(binary_cross_entropy_with_logits(model(images), labels))


if __name__ == "__main__":
    main()
