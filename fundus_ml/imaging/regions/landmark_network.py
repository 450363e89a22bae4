"""The network that looks for disc, cup and fovea on the square of one eye."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fundus_ml.models.backbones import on_meta

BACKBONE = "efficientnet_lite0"
SIZE = 256
"""Side of the square it is made for, pixels."""
STRIDE = 4
"""Pixels of the square per cell of its maps."""
NORMALISED = 0.5
"""Mean and standard deviation of every channel, as the backbone learned ImageNet."""
WIDTH = 48
"""Channels of the decoder."""
MAPS = ("disc", "cup", "disc_centre", "fovea")


class LandmarkMaps(NamedTuple):
    """What the network says, as logits; a cell covers :data:`STRIDE` pixels of the square.

    Attributes:
        disc: ``(N, h, w)``, of a cell lying in the disc.
        cup: ``(N, h, w)``, likewise in its cup.
        points: ``(N, 2, h * w + 1)``, of the cell in which the disc's centre and the fovea lie; the
            last one says that it lies nowhere on the square.
    """

    disc: Tensor
    cup: Tensor
    points: Tensor


class LandmarkNetwork(nn.Module):
    """EfficientNet-Lite0 up to stride 16 without BatchNorm, and a decoder back to stride 4.

    Args:
        trunk: The backbone as timm builds it; its later stages are left out, its BatchNorms
            folded into the convolutions before them.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        whole: Any = trunk
        self.stem = _without_batchnorm(nn.Sequential(whole.conv_stem, whole.bn1))
        self.stages = nn.ModuleList(map(_without_batchnorm, whole.blocks[:5]))
        self.deep, self.middle, self.fine = (nn.Conv2d(n, WIDTH, 1) for n in (112, 40, 24))
        self.everywhere = nn.Linear(112, WIDTH)
        self.join_middle, self.join_fine = _mixing(), _mixing()
        self.maps = nn.Conv2d(WIDTH, len(MAPS), 1)
        self.nowhere = nn.Linear(112, 2)

    def forward(self, images: Tensor) -> LandmarkMaps:
        """Read squares, ``(N, 3, H, W)`` float32 RGB in [0, 1], with sides that 16 divides."""
        levels = []
        seen = self.stem((images - NORMALISED) / NORMALISED)
        for stage in self.stages:
            seen = stage(seen)
            levels.append(seen)
        overall = seen.mean((2, 3))
        joined = self.deep(seen) + self.everywhere(overall)[:, :, None, None]
        joined = self.join_middle(_doubled(joined) + self.middle(levels[2]))
        joined = self.join_fine(_doubled(joined) + self.fine(levels[1]))
        disc, cup, disc_centre, fovea = self.maps(joined).unbind(1)
        points = torch.stack([disc_centre.flatten(1), fovea.flatten(1)], 1)
        return LandmarkMaps(disc, cup, torch.cat([points, self.nowhere(overall)[..., None]], 2))


def empty_landmark_network() -> LandmarkNetwork:
    """Build the network without memory for its weights, which a file's tensors then become."""
    trunk = on_meta(BACKBONE, outputs=1, size=SIZE)
    with torch.device("meta"):
        return LandmarkNetwork(trunk)


def _mixing() -> nn.Sequential:
    """A depthwise and a pointwise convolution."""
    wide = nn.Conv2d(WIDTH, WIDTH, 5, padding=2, groups=WIDTH)
    return nn.Sequential(nn.ReLU(), wide, nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU())


def _doubled(seen: Tensor) -> Tensor:
    return interpolate(seen, scale_factor=2, mode="bilinear", align_corners=False)


def _without_batchnorm(module: nn.Module) -> nn.Module:
    """Fold every BatchNorm into the convolution before it; its activation stays in its place."""
    convolution = ""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            convolution = name
        elif isinstance(child, nn.BatchNorm2d):
            before: Any = module.get_submodule(convolution)
            setattr(module, convolution, fuse_conv_bn_eval(before.eval(), child.eval()))
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            _without_batchnorm(child)
    return module
