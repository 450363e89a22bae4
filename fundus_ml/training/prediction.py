"""Scores of every eye, each computed once, however many processes there are."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fundus_ml.attacks import frozen
from fundus_ml.dataset import FundusDataset, batches
from fundus_ml.precision import autocast
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
        seed: Of the perturbation's random start.
        on_step: Called with (eyes done, eyes in all).

    Returns:
        ``(len(dataset),)`` float32 logits on the CPU, in every process.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    here = world()
    rows = torch.arange(here.rank, len(dataset), here.size)
    share = dataset if here.size == 1 else dataset.select(rows.numpy())
    logits: list[Tensor] = []
    with frozen(model):
        for images, labels in batches(share, batch_size, device=device):
            if perturb is not None:
                images = perturb(model, images, labels, generator)  # noqa: PLW2901
            with torch.inference_mode(), autocast(precision, device):
                logits.append(model(images).float())
            if on_step is not None:
                done = here.size * sum(map(len, logits))
                on_step(min(done, len(dataset)), len(dataset))
    scored = torch.cat(logits).clone() if logits else torch.empty(0, device=device)
    if here.size == 1:
        return scored.cpu()
    whole = torch.zeros(len(dataset), device=device)
    whole[rows.to(device)] = scored
    return add_up(whole).cpu()
