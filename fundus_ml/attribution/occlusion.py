"""What the logit loses when a window of the eye is hidden."""

import math

import torch
from torch import Tensor

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.attribution.explained_logit import ExplainedLogit, passes
from fundus_ml.attribution.options import AttributionOptions


def occlusion(explained: ExplainedLogit, images: Tensor, options: AttributionOptions) -> Tensor:
    """Average over the windows that hide a pixel what the logit loses, ``(N, H, W)``.

    Source:
        Zeiler and Fergus 2014, arXiv:1311.2901; windows and their mean as captum's ``Occlusion``,
        which cuts the last windows off at the border. Ours hides by the baseline of the options.
    """
    hidden = baseline_of(images, options.baseline)
    down = _windows(images.shape[2], options).to(images.device)
    across = _windows(images.shape[3], options).to(images.device)
    lost = explained.logit(images)[:, None].repeat(1, len(down) * len(across))
    for eyes, places in passes(len(images), lost.shape[1], options.batch_size, images.device):
        row, column = down[places // len(across)], across[places % len(across)]
        window = (row[:, :, None] & column[:, None])[:, None]
        lost[eyes, places] -= explained.logit(torch.where(window, hidden[eyes], images[eyes]))
    total = lost.view(len(images), len(down), len(across))
    found = torch.einsum("nab,ah,bw->nhw", total, down.to(images), across.to(images))
    return found / (down.sum(0)[:, None] * across.sum(0))


def _windows(side: int, options: AttributionOptions) -> Tensor:
    """Mark the pixels of one axis that each window hides, ``(windows, side)`` booleans."""
    width = max(1, round(options.window * side))
    stride = max(1, round(options.stride * side))
    starts = stride * torch.arange(1 + math.ceil((side - width) / stride))[:, None]
    pixels = torch.arange(side)
    return (pixels >= starts) & (pixels < starts + width)
