"""Train the landmark network on marked photographs and painted eyes together."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fundus_ml.errors import check_seed, refuse_outside
from fundus_ml.imaging.regions.landmark_network import BACKBONE, SIZE, LandmarkNetwork
from fundus_ml.models.backbones import make_backbone
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.region_training.examples import Examples
from fundus_ml.region_training.landmark_loss import landmark_loss
from fundus_ml.region_training.variation import Variation, Varied, no_eye, varied
from fundus_ml.training.checkpoints import Checkpoints, fill_optimizer, flat_optimizer

OnStep = Callable[[int, int, Mapping[str, float]], None]
"""Called with the step, how many there are, and the parts of its loss."""
AVERAGE_BETWEEN = 0.99
"""Share of the running average of the weights that a step leaves as it was."""


@dataclass(frozen=True, kw_only=True)
class LandmarkTraining:
    """How the landmark network is trained.

    Attributes:
        steps: Steps in all.
        batch_size: Variants of eyes per step.
        size: Side of the squares in the last third of the steps, pixels; 16 divides it.
        small_size: Side before that, which is quicker.
        lr: Largest learning rate of the decoder; the trunk, which begins with ImageNet, gets a
            fifth.
        weight_decay: Weight decay of AdamW.
        marked: Share of the variants that come from marked photographs; the others are painted.
        no_eye: Share of the variants that show no eye.
        seed: Seed of the first weights and of every variant.
        minutes: Time between checkpoints.
        variation: Ranges of the variants.
    """

    steps: int = 700
    batch_size: int = 16
    size: int = SIZE
    small_size: int = 192
    lr: float = 2e-3
    weight_decay: float = 0.02
    marked: float = 0.6
    no_eye: float = 0.04
    seed: int = 0
    minutes: float = 3.0
    variation: Variation = field(default_factory=Variation)

    def __post_init__(self) -> None:
        """Refuse values that nothing can be learned with."""
        least = {"steps": 1, "batch_size": 1, "size": 32, "small_size": 32, "lr": 0, "minutes": 0}
        refuse_outside(self, at_least=least)
        check_seed(self.seed)


def train_landmarks(
    marked: Examples,
    painted: Examples,
    training: LandmarkTraining,
    *,
    checkpoints: Path,
    on_step: OnStep | None = None,
    start: LandmarkNetwork | None = None,
) -> LandmarkNetwork:
    """Learn, or go on where a training of the same identity was interrupted.

    Args:
        marked: Photographs with marks; their cups need not be known.
        painted: Painted eyes.
        training: How.
        checkpoints: Folder of this training's checkpoints.
        on_step: Told after each step.
        start: First weights; ImageNet's and a random decoder without.

    Returns:
        The running average of the weights, on the CPU. The same arguments give the same bytes on
        the same machine, interrupted or not.

    Raises:
        InputError: The folder holds another training.
    """
    network = start or started_from_imagenet(training.seed)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = _optimizer(network, training)
    what = {name: value for name, value in asdict(training).items() if name != "minutes"}
    identity = {
        **what,
        "marked": marked.digest,
        "painted": painted.digest,
        "start": _digest(network.state_dict()),
    }
    kept = Checkpoints(checkpoints, identity, minutes=training.minutes)
    first = 0
    if (saved := kept.load()) is not None:
        network.load_state_dict(saved.tensors["network"])
        average = dict(saved.tensors["average"])
        fill_optimizer(optimizer, saved.tensors["optimizer"], saved.progress["optimizer"])
        first = int(saved.progress["step"])
    for step in range(first, training.steps):
        _set_rates(optimizer, training, step)
        losses = _step(network, optimizer, _batch(marked, painted, training, step))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - min(AVERAGE_BETWEEN, (1 + step) / (10 + step)))
        if on_step:
            on_step(step + 1, training.steps, losses)
        if kept.due() or step + 1 == training.steps:
            tensors, plain = flat_optimizer(optimizer)
            parts = {"network": network.state_dict(), "average": average, "optimizer": tensors}
            kept.save(step + 1, parts, {"step": step + 1, "optimizer": plain})
    network.load_state_dict(average)
    return network.eval()


def _digest(state: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name, value in state.items():
        content.update(name.encode())
        content.update(value.contiguous().numpy().tobytes())
    return content.hexdigest()


def started_from_imagenet(seed: int) -> LandmarkNetwork:
    """Build the network with ImageNet's weights in its trunk."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = make_backbone(BACKBONE, outputs=1000, size=SIZE)
        trunk.load_state_dict(imagenet_weights(BACKBONE).state)
        network = LandmarkNetwork(trunk.eval())
    assert network.maps.bias is not None
    with torch.no_grad():
        # Few cells lie in a disc, fewer in a cup.
        network.maps.bias.copy_(torch.tensor([-3.0, -4.0, 0.0, 0.0]))
    return network.to(memory_format=torch.channels_last)


def _optimizer(network: LandmarkNetwork, training: LandmarkTraining) -> torch.optim.AdamW:
    trunk = [*network.stem.parameters(), *network.stages.parameters()]
    known = {id(parameter) for parameter in trunk}
    decoder = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": trunk, "share": 0.2}, {"params": decoder, "share": 1.0}]
    return torch.optim.AdamW(groups, lr=training.lr, weight_decay=training.weight_decay)


def _set_rates(optimizer: torch.optim.Optimizer, training: LandmarkTraining, step: int) -> None:
    """Warm up over a twentieth of the steps, then fall to nothing along half a cosine."""
    risen = min(1.0, (step + 1) / (0.05 * training.steps + 1))
    fallen = (1 + math.cos(math.pi * step / training.steps)) / 2
    for group in optimizer.param_groups:
        group["lr"] = training.lr * group["share"] * risen * fallen


def _step(
    network: LandmarkNetwork, optimizer: torch.optim.Optimizer, batch: list[Varied]
) -> dict[str, float]:
    pixels = torch.from_numpy(np.stack([one.pixels for one in batch])).permute(0, 3, 1, 2)
    disc, cup, fovea = (
        torch.from_numpy(np.stack([getattr(one, part) for one in batch])).float()
        for part in ("disc", "cup", "fovea")
    )
    losses = landmark_loss(network(pixels), disc, cup, fovea)
    total: Tensor = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def _batch(
    marked: Examples, painted: Examples, training: LandmarkTraining, step: int
) -> list[Varied]:
    """Every step has its own stream of numbers, so that a resumed training draws the same."""
    draws = np.random.default_rng([training.seed, step])
    small = step < 2 * training.steps // 3
    size = training.small_size if small else training.size
    batch = []
    for _ in range(training.batch_size):
        chosen = draws.random()
        if chosen < training.no_eye:
            batch.append(no_eye(size, draws))
            continue
        of = marked if draws.random() < training.marked else painted
        place = int(draws.integers(len(of)))
        batch.append(varied(of, place, size, training.variation, draws))
    return batch
