"""Training of the network that finds vessels."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError, check_seed, refuse_outside
from fundus_ml.imaging.regions.vessel_network import VesselNetwork
from fundus_ml.models.options import check_precision
from fundus_ml.models.precision import autocast
from fundus_ml.region_training.vessel_crops import StoredEye, draw_crop, store
from fundus_ml.region_training.vessel_marks import TracedEye
from fundus_ml.training.checkpoints import Checkpoints, fill_optimizer, flat_optimizer
from fundus_ml.training.optimization import averaged, rate

if TYPE_CHECKING:
    from torch.optim.swa_utils import AveragedModel


@dataclass(frozen=True, kw_only=True)
class VesselTraining:
    """How long, how fast and on what the vessel network learns."""

    steps: int = 4000
    """Steps of the training."""
    batch_size: int = 8
    """Crops a step."""
    crop_size: int = 256
    """Side of a crop, pixels; a multiple of 16."""
    lr: float = 3e-3
    """Peak learning rate of AdamW."""
    warmup: int = 100
    """Steps over which the rate rises; it then falls to zero along a cosine."""
    weight_decay: float = 1e-3
    """Decoupled weight decay."""
    ema: float = 0.995
    """Decay per step of the averaged weights, which are the result."""
    save_every: int = 500
    """Steps between checkpoints."""
    precision: str = "auto"
    """auto (bf16 where the hardware multiplies it), fp32 or bf16."""
    seed: int = 0
    """Seed of weights and crops."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(self, at_least=_LEAST)
        check_precision(self.precision)
        check_seed(self.seed)
        if self.crop_size % 16:
            raise InputError(f"crop_size={self.crop_size}: must be a multiple of 16")


_LEAST = {"steps": 1, "batch_size": 1, "crop_size": 32, "lr": 0.0, "warmup": 0,
          "weight_decay": 0.0, "ema": 0.0, "save_every": 1}  # fmt: skip

Releases = Mapping[str, tuple[float, Sequence[TracedEye]]]
"""Share of the crops that a release gives, and its eyes, by name."""


def train_vessel_network(
    config: VesselTraining,
    releases: Releases,
    *,
    checkpoints: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> VesselNetwork:
    """Learn which pixels lie on a vessel.

    Each step's crops follow from the seed and the step alone: a training that was interrupted
    goes on to the same bytes on the same machine.

    Args:
        config: How.
        releases: From what; shares need not add up to one.
        checkpoints: Folder to go on from and to keep the state in.
        on_step: Receives each step's number, from 1, and its loss.

    Returns:
        The averaged network, in evaluation mode.

    Raises:
        InputError: There are no eyes, or ``checkpoints`` holds another training.
    """
    if not releases or any(not eyes for _, eyes in releases.values()):
        raise InputError(f"releases={sorted(releases)}: each must have eyes to learn from")
    learning = _Learning(config)
    kept = None
    if checkpoints is not None:
        told = {name: [share, _digest(eyes)] for name, (share, eyes) in releases.items()}
        kept = Checkpoints(checkpoints, {**asdict(config), "releases": told})
    begun = learning.resume(kept) if kept else 0
    stored = {name: [store(eye) for eye in eyes] for name, (_, eyes) in releases.items()}
    shares = {name: share for name, (share, _) in releases.items()}
    for step in range(begun, config.steps):
        loss = learning.step(step, _draw_batch(config, stored, shares, step=step))
        if on_step is not None:
            on_step(step + 1, loss)
        if kept and ((step + 1) % config.save_every == 0 or step + 1 == config.steps):
            learning.save(kept, step + 1)
    return learning.result()


def vessel_loss(logits: Tensor, vessels: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy plus one minus Dice, both where ``weight`` is 1.

    Args:
        logits: ``(N, H, W)``.
        vessels: ``(N, H, W)`` share of vessel in each pixel.
        weight: ``(N, H, W)`` 0 or 1.

    Source:
        Milletari et al. 2016, arXiv:1606.04797 (Dice, here over the whole batch).
    """
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, vessels, reduction="none")
    probs = torch.sigmoid(logits) * weight
    both = (probs * vessels).sum()
    dice = (2 * both + 1) / (probs.sum() + (vessels * weight).sum() + 1)
    return (entropy * weight).sum() / weight.sum().clamp(min=1) + 1 - dice


class _Learning:
    """Network, average and optimizer of one training."""

    def __init__(self, config: VesselTraining) -> None:
        self._config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = VesselNetwork()
        self.network = network.to(memory_format=torch.channels_last).train()
        average = averaged(self.network, config.ema)
        self.average: AveragedModel | None = average
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )

    def step(self, step: int, batch: tuple[Tensor, Tensor, Tensor]) -> float:
        config = self._config
        share = rate("cosine", step, total=config.steps, warmup=config.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * share
        contrast, vessels, weight = batch
        with autocast(config.precision, torch.device("cpu")):
            logits = self.network(contrast.contiguous(memory_format=torch.channels_last))
        loss = vessel_loss(logits.float(), vessels, weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return float(loss.detach())

    def save(self, kept: Checkpoints, step: int) -> None:
        tensors, plain = flat_optimizer(self.optimizer)
        parts = {"network": self.network.state_dict(), "optimizer": tensors}
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        kept.save(step, parts, {"step": step, "optimizer": plain})

    def resume(self, kept: Checkpoints) -> int:
        saved = kept.load()
        if saved is None:
            return 0
        self.network.load_state_dict(dict(saved.tensors["network"]))
        fill_optimizer(self.optimizer, saved.tensors["optimizer"], saved.progress["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(dict(saved.tensors["average"]))
        return int(saved.progress["step"])

    def result(self) -> VesselNetwork:
        learned = VesselNetwork()
        best = self.network if self.average is None else self.average.module
        learned.load_state_dict(best.state_dict())
        return learned.eval()


def _digest(eyes: Sequence[TracedEye]) -> str:
    """Eyes that differ in a pixel or a mark have another digest."""
    content = hashlib.sha256()
    for eye in eyes:
        for plane in (eye.image, eye.vessels, eye.counted):
            content.update(np.ascontiguousarray(plane).data)
    return content.hexdigest()


def _draw_batch(
    config: VesselTraining,
    stored: Mapping[str, Sequence[StoredEye]],
    shares: Mapping[str, float],
    *,
    step: int,
) -> tuple[Tensor, Tensor, Tensor]:
    generator = np.random.default_rng([config.seed, step])
    names = list(stored)
    share = np.array([shares[name] for name in names])
    crops = []
    for name in generator.choice(names, config.batch_size, p=share / share.sum()):
        eyes = stored[name]
        eye = eyes[int(generator.integers(len(eyes)))]
        crops.append(draw_crop(eye, size=config.crop_size, generator=generator))
    contrast, vessels, weight = (
        torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True)
    )
    return contrast, vessels, weight
