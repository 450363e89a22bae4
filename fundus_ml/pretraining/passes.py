"""One pass over a dataset without gradients, its batches shared by all processes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import frozen
from fundus_ml.data.dataset import FundusDataset, read_batches
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast
from fundus_ml.training.distribution import add_up, world

Compute = Callable[[int, Tensor, Tensor], Tensor]
"""Number of the batch, its rows ``(n,)``, its images ``(n, 3, H, W)`` → ``(n, k)``."""


def over_batches(
    model: nn.Module, dataset: FundusDataset, compute: Compute, *, batch_size: int, precision: str
) -> Tensor:
    """Compute ``k`` numbers of every eye of ``dataset``, in its order.

    Args:
        model: Held in evaluation mode meanwhile.
        dataset: Eyes to go through.
        compute: What is computed from a batch.
        batch_size: Images per batch.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Returns:
        ``(len(dataset), k)`` float32 on the model's device, in every process.
    """
    device = next(model.parameters()).device
    here = world()
    parts = torch.split(torch.arange(len(dataset)), batch_size)
    numbers = range(here.rank, len(parts), here.size)
    rows_read, computed = [], []
    with frozen(model), torch.inference_mode():
        reading = read_batches(dataset, (parts[n] for n in numbers), device=device)
        for number, (rows, images) in zip(numbers, reading, strict=True):
            with autocast(resolved(model, images, precision), device):
                computed.append(compute(number, rows, images).float())
            rows_read.append(rows)
        wide = torch.tensor(computed[0].shape[1] if computed else 0, device=device)
        whole = torch.zeros(len(dataset), _widest(wide), device=device)
        if computed:
            whole[torch.cat(rows_read).to(device)] = torch.cat(computed)
        add_up(whole)
    return whole.clone()


def _widest(width: Tensor) -> int:
    """Agree on the width; a process that had no batch does not know it."""
    here = world()
    widths = torch.zeros(here.size, dtype=torch.long, device=width.device)
    widths[here.rank] = width
    return int(add_up(widths).max())
