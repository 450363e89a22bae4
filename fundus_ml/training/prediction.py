"""Scores of every eye, each computed once, however many processes there are."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import frozen
from fundus_ml.data.dataset import FundusDataset, batches
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast
from fundus_ml.training.distribution import add_up, world

Perturb = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""Model, images ``(N, 3, H, W)``, labels ``(N,)``, generator → the images to learn from."""


def predict(
    model: nn.Module,
    dataset: FundusDataset,
    *,
    batch_size: int,
    precision: str = "auto",
    perturb: Perturb | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Score every eye of ``dataset`` in its order; the model is given back as it was.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; used in evaluation mode.
        dataset: Eyes to score; several processes share them without an eye in two.
        batch_size: Images per pass.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        perturb: Attacks each batch first, away from its labels.
        seed: Seed of the perturbation's random start.
        on_step: Called with (eyes done, eyes in all).

    Returns:
        ``(len(dataset),)`` float32 logits on the CPU, in every process.
    """
    device = next(model.parameters()).device

    def score(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        if perturb is not None:
            images = perturb(model, images, labels, generator)
        chosen = resolved(model, images, precision)
        with torch.inference_mode(), autocast(chosen, device):
            logit: Tensor = model(images).float()
        return logit

    with frozen(model):
        return each_eye(
            score, dataset, batch_size=batch_size, device=device, seed=seed, on_step=on_step
        )


def each_eye(
    value: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    dataset: FundusDataset,
    *,
    batch_size: int,
    device: torch.device,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Compute one number of every eye, each eye in one process.

    Args:
        value: Images ``(N, 3, H, W)``, labels ``(N,)``, generator → ``(N,)`` float32, none NaN.
        dataset: Eyes, whose order the result keeps.
        batch_size: Images per call.
        device: Where they go.
        seed: Seed of the generator.
        on_step: Called with (eyes done, eyes in all).

    Returns:
        ``(len(dataset),)`` on the CPU, in every process.
    """
    generator = torch.Generator().manual_seed(seed)
    here = world()
    rows = torch.arange(here.rank, len(dataset), here.size)
    share = dataset if here.size == 1 else dataset.select(rows.numpy())
    values: list[Tensor] = []
    for images, labels in batches(share, batch_size, device=device):
        values.append(value(images, labels, generator))
        if on_step is not None:
            on_step(min(here.size * sum(map(len, values)), len(dataset)), len(dataset))
    found = torch.cat(values).clone() if values else torch.empty(0, device=device)
    if here.size == 1:
        return found.cpu()
    whole = torch.zeros(len(dataset), device=device)
    whole[rows.to(device)] = found
    return add_up(whole).cpu()
