"""A small U-Net that says which pixels of an eye lie on a vessel."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.trained import PACKAGED, read_trained

SIDE = 640
"""Side of the square around the field of view that the network sees, pixels; photographs kept out
of its training are marked better than at 512, and hardly better at 768."""

WEIGHTS_FILE, CARD_FILE = "vessels.safetensors", "vessels.json"

CHANNELS = (16, 32, 64, 96)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution."""

REDUCTION = 4
"""Local brightness is measured on a copy this much smaller."""

AROUND = 6.0
"""Standard deviation of what counts as around a pixel, pixels of that copy."""

FAINTEST = 2.0
"""Grey levels of local contrast that noise alone has; less is not amplified further."""

STEEPEST = 4.0
"""Local standard deviations beyond which brightness is cut off."""


def local_contrast(square: NDArray[np.uint8], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Brightness of each channel relative to what lies around it, whatever the light.

    Args:
        square: ``(H, W, 3)`` uint8 RGB.
        seen: ``(H, W)`` pixels inside the field of view.

    Returns:
        ``(3, H, W)`` local standard deviations from the local mean, at most :data:`STEEPEST`;
        0 outside ``seen``.
    """
    height, width = seen.shape
    small = (max(width // REDUCTION, 1), max(height // REDUCTION, 1))
    weight = cv2.resize(seen.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    whole = cv2.GaussianBlur(weight, (0, 0), AROUND)
    whole = np.maximum(whole, 1e-3)[..., None]
    values = np.asarray(square.astype(np.float32) * seen[..., None], np.float32)
    reduced = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
    mean = np.asarray(cv2.GaussianBlur(reduced, (0, 0), AROUND) / whole, np.float32)
    # The reduced copy is already weighted: where half of a pixel is seen, half of it counts.
    off = reduced - mean * weight[..., None]
    squared = np.asarray(off * off, np.float32)
    spread = np.sqrt(cv2.GaussianBlur(squared, (0, 0), AROUND) / whole) + np.float32(FAINTEST)
    size = (width, height)
    level = cv2.resize(mean, size, interpolation=cv2.INTER_LINEAR)
    scale = cv2.resize(1 / spread, size, interpolation=cv2.INTER_LINEAR)
    contrast = (values - level) * scale * seen[..., None]
    # Colours stay innermost, as the network's convolutions read them: no copy, there or here.
    return np.asarray(contrast.clip(-STEEPEST, STEEPEST).transpose(2, 0, 1), np.float32)


class VesselNetwork(nn.Module):
    """U-Net whose first and last layers fold two pixels into one, as full resolution costs most.

    Args:
        channels: Widths of its levels, the finest first.

    Source:
        Ronneberger et al. 2015, arXiv:1505.04597; folding after Shi et al. 2016,
        arXiv:1609.05158. Ours adds what was skipped instead of appending it.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.stem = _block(3 * 4, channels[0])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(_block(fine, coarse) for fine, coarse in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(_block(fine, fine) for fine, _ in pairs)
        self.head = nn.Conv2d(channels[0], 4, 3, padding=1)

    def forward(self, contrast: Tensor) -> Tensor:
        """Map local contrast to the logit of a vessel.

        Args:
            contrast: ``(N, 3, H, W)`` of :func:`local_contrast`; sides are multiples of 16.

        Returns:
            ``(N, H, W)`` logits.
        """
        levels = [self.stem(nn.functional.pixel_unshuffle(contrast, 2))]
        for down in self.down:
            levels.append(down(nn.functional.max_pool2d(levels[-1], 2)))
        x = levels.pop()
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            wide = nn.functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest")
            x = up(wide + levels.pop())
        logits: Tensor = nn.functional.pixel_shuffle(self.head(x), 2)[:, 0]
        return logits


def _block(wide: int, narrow: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(wide, narrow, 3, padding=1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(inplace=True),
        nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(inplace=True),
    )


class VesselWeights(NamedTuple):
    """The network that comes with the package.

    Attributes:
        network: In evaluation mode, its BatchNorms folded into its convolutions.
        threshold: Probability from which on a pixel counts as vessel, chosen on training eyes.
    """

    network: VesselNetwork
    threshold: float


@cache
def load_vessel_network(folder: Path = PACKAGED) -> VesselWeights:
    """Read the weights and the card beside them, once.

    Args:
        folder: Holds ``vessels.safetensors`` and ``vessels.json``.

    Raises:
        InputError: From :func:`~fundus_ml.imaging.regions.trained.read_trained`.
    """
    trained = read_trained("vessels", folder)
    network = VesselNetwork()
    network.load_state_dict(trained.state, strict=False)  # batches that were counted stay behind
    folded = _folded(network.eval()).to(memory_format=torch.channels_last)
    threshold = float(trained.card["threshold"])
    return VesselWeights(folded.requires_grad_(requires_grad=False), threshold)


def save_vessel_network(network: VesselNetwork, folder: Path, card: Mapping[str, object]) -> None:
    """Write weights in half precision, what BatchNorm needs in single, and their card.

    Args:
        network: Trained.
        folder: Made when missing.
        card: ``threshold``, and what a reader should know of the training.
    """
    state = {
        name: (tensor.half() if tensor.ndim > 1 else tensor).detach().contiguous()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    content = save(state)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(content)
    told = {**card, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / CARD_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def vessel_probabilities(
    network: nn.Module, contrast: NDArray[np.float32], seen: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Say of each pixel of some squares how likely it lies on a vessel.

    Args:
        network: Maps local contrast to logits.
        contrast: ``(N, 3, S, S)`` of :func:`local_contrast`, S a multiple of 16.
        seen: ``(N, S, S)`` pixels inside the field of view.

    Returns:
        ``(N, S, S)`` in [0, 1], 0 where nothing is seen.
    """
    given = torch.from_numpy(contrast).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return np.asarray(torch.sigmoid(network(given)).numpy() * seen, np.float32)


def _folded(network: VesselNetwork) -> VesselNetwork:
    """Put each BatchNorm into the convolution before it."""
    for block in (network.stem, *network.down, *network.up):
        assert isinstance(block, nn.Sequential)
        for at in (0, 3):
            convolution, norm = block[at], block[at + 1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            block[at], block[at + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return network
