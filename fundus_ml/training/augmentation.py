"""Augmentation: the same eye as another visit, another camera, another focus might have shown it.

A whole batch at once on its own device: one sampling of the pixels for flip, rotation, scale and
shift together, one Gaussian of its own width per image, one affine map of the channels per image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from fundus_ml.errors import InputError
from fundus_ml.training.options import AUGMENTATIONS

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in a grey level (ITU-R BT.601), as torchvision weighs them."""
DARK = 8 / 255
"""Below this grey level a change of contrast fades out, so that what is black stays black."""
REACH = 3.0
"""Standard deviations at which a Gaussian is cut off."""
DRAWN = 10
"""Uniform numbers drawn per image, whatever the ranges: a recipe never shifts another's draws."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges that an image's changes are drawn from, evenly; the defaults change nothing."""

    flip: float = 0.0
    """Share of images mirrored left to right, so that laterality is no cue."""
    rotation: float = 0.0
    """Largest angle, degrees either way."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest magnification, even in its logarithm."""
    shift: float = 0.0
    """Largest move along each axis, as a share of the image's side, either way."""
    brightness: float = 0.0
    """Pixels times 1 give or take this."""
    contrast: float = 0.0
    """Distance from the mean grey of what is lit, times 1 give or take this."""
    saturation: float = 0.0
    """Distance from a pixel's own grey, times 1 give or take this."""
    hue: float = 0.0
    """Largest turn of the colours about the grey axis, degrees either way."""
    blur: float = 0.0
    """Largest standard deviation of the Gaussian, as a share of the image's height."""
    blurred: float = 0.5
    """Share of images that are blurred."""

    def __post_init__(self) -> None:
        """Refuse ranges that no image survives."""
        for name, value, most in (
            ("flip", self.flip, 1.0),
            ("rotation", self.rotation, 180.0),
            ("shift", self.shift, 1.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue", self.hue, 180.0),
            ("blur", self.blur, 0.1),
            ("blurred", self.blurred, 1.0),
        ):
            if not 0 <= value <= most:
                raise InputError(f"{name}={value}: must be between 0 and {most:g}")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(f"scale={self.scale}: must be two numbers above 0, the smaller first")

    @property
    def moves(self) -> bool:
        """Whether pixels are sampled between where they were."""
        return self.rotation > 0 or self.shift > 0 or self.scale != (1.0, 1.0)

    @property
    def recolours(self) -> bool:
        """Whether colours change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0


_GEOMETRY = {"flip": 0.5, "rotation": 15.0, "shift": 0.04}

RECIPES: Mapping[str, Augmentation] = MappingProxyType(
    {
        "none": Augmentation(),
        "flip": Augmentation(flip=0.5),
        "geometry": Augmentation(**_GEOMETRY, scale=(0.9, 1.1)),
        "full": Augmentation(
            **_GEOMETRY,
            scale=(0.9, 1.1),
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
            hue=4.0,
            blur=0.006,
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is done to each of ``n`` images, on their device.

    Attributes:
        mirrored: ``(n,)`` bool.
        angle: ``(n,)`` degrees, counter-clockwise.
        scale: ``(n,)`` magnification.
        shift: ``(n, 2)`` to the right and down, as shares of width and height.
        brightness: ``(n,)`` factor.
        contrast: ``(n,)`` factor.
        saturation: ``(n,)`` factor.
        hue: ``(n,)`` degrees, red towards green.
        sigma: ``(n,)`` of the Gaussian, as shares of the height.
    """

    mirrored: Tensor
    angle: Tensor
    scale: Tensor
    shift: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    sigma: Tensor


def augment(
    images: Tensor,
    augmentation: str | Augmentation,
    *,
    generator: torch.Generator,
    first: int = 0,
    of: int | None = None,
) -> Tensor:
    """Change each image of a batch, or of one process's share of it, at random.

    Args:
        images: ``(n, 3, H, W)`` float32 in [0, 1].
        augmentation: One of :data:`~fundus_ml.training.options.AUGMENTATIONS`, or ranges of
            one's own.
        generator: On the CPU; draws once for the whole batch, whatever ``augmentation`` is.
        first: Where the share starts in the whole batch.
        of: Images of the whole batch; ``n`` when not given.

    Returns:
        ``(n, 3, H, W)`` float32 in [0, 1], channels-last in memory; the same tensor where nothing
        is asked for. What was black around the eye stays black but for the blur's reach.

    Raises:
        InputError: ``augmentation`` is none of :data:`~fundus_ml.training.options.AUGMENTATIONS`.
    """
    ranges = _ranges(augmentation)
    if ranges == RECIPES["none"]:
        return images
    whole = len(images) if of is None else of
    assert 0 <= first <= whole - len(images), (first, len(images), whole)
    uniform = torch.rand(whole, DRAWN, generator=generator)[first : first + len(images)]
    draws = draw(ranges, uniform.to(images.device, non_blocking=True))
    if ranges.moves:
        changed = warp(images, draws)
    else:
        changed = mirror(images, draws.mirrored) if ranges.flip > 0 else images
    if ranges.blur > 0:
        height = images.shape[2]
        changed = blur(changed, draw(ranges, uniform).sigma * height, most=ranges.blur * height)
    if ranges.recolours:
        changed = recolour(changed, draws)
    return changed.contiguous(memory_format=torch.channels_last)


def draw(ranges: Augmentation, uniform: Tensor) -> Draws:
    """Turn ``(n, DRAWN)`` numbers in [0, 1) into what is done to each of ``n`` images."""

    def around(centre: float, spread: float, column: int) -> Tensor:
        return centre + spread * (2 * uniform[:, column] - 1)

    low, high = math.log(ranges.scale[0]), math.log(ranges.scale[1])
    chosen = uniform[:, 9] / max(ranges.blurred, torch.finfo(uniform.dtype).tiny)
    return Draws(
        mirrored=uniform[:, 0] < ranges.flip,
        angle=around(0, ranges.rotation, 1),
        scale=(low + (high - low) * uniform[:, 2]).exp(),
        shift=torch.stack([around(0, ranges.shift, 3), around(0, ranges.shift, 4)], dim=1),
        brightness=around(1, ranges.brightness, 5),
        contrast=around(1, ranges.contrast, 6),
        saturation=around(1, ranges.saturation, 7),
        hue=around(0, ranges.hue, 8),
        sigma=torch.where(chosen < 1, ranges.blur * chosen, 0),
    )


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the chosen images left to right, to the last bit."""
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def warp(images: Tensor, draws: Draws) -> Tensor:
    """Mirror, then magnify, turn and move each image about its centre, in one bilinear sampling.

    Args:
        images: ``(n, 3, H, W)`` float32.
        draws: Draws, of which ``mirrored``, ``angle``, ``scale`` and ``shift`` are used.

    Returns:
        ``(n, 3, H, W)``; what comes from outside the image is black.
    """
    height, width = images.shape[2:]
    across, down = (
        (2 * torch.arange(side, device=images.device) + 1) / side - 1 for side in (width, height)
    )
    x = across - 2 * draws.shift[:, :1]
    y = down - 2 * draws.shift[:, 1:]
    cosine, sine = draws.angle.deg2rad().cos(), draws.angle.deg2rad().sin()
    sign = 1 - 2 * draws.mirrored.to(images.dtype)
    from_x = torch.stack([sign * cosine, sine * width / height], dim=1) / draws.scale[:, None]
    from_y = torch.stack([-sign * sine * height / width, cosine], dim=1) / draws.scale[:, None]
    grid = (
        x[:, None, :, None] * from_x[:, None, None, :]
        + y[:, :, None, None] * from_y[:, None, None, :]
    )
    return grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def blur(images: Tensor, sigma: Tensor, *, most: float) -> Tensor:
    """Blur each image by a Gaussian of its own width.

    Args:
        images: ``(n, 3, H, W)`` float32.
        sigma: ``(n,)`` standard deviations in pixels; 0 leaves an image as it is. On the CPU best:
            it is asked which images to blur, and a GPU would have to be waited for.
        most: Upper limit of ``sigma``; the Gaussians are cut off at three times it.

    Returns:
        ``(n, 3, H, W)``; the image is mirrored at its border.
    """
    rows = sigma.nonzero()[:, 0]
    if len(rows) == 0:
        return images
    widths, rows = sigma[rows].to(images.device), rows.to(images.device)
    _, channels, height, width = images.shape
    reach = min(math.ceil(REACH * most), height - 1, width - 1)
    steps = torch.arange(-reach, reach + 1, device=images.device)
    weights = torch.softmax(-0.5 * (steps / widths[:, None]) ** 2, dim=1)
    kernel = weights.repeat_interleave(channels, 0)[:, None, None, :]
    groups = len(kernel)
    apart = images[rows].reshape(1, groups, height, width)
    across = conv2d(pad(apart, (reach, reach, 0, 0), mode="reflect"), kernel, groups=groups)
    both = conv2d(pad(across, (0, 0, reach, reach), mode="reflect"), kernel.mT, groups=groups)
    return images.index_copy(0, rows, both.view(-1, channels, height, width))


def recolour(images: Tensor, draws: Draws) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in this order.

    Args:
        images: ``(n, 3, H, W)`` float32 in [0, 1].
        draws: Draws, of which ``brightness``, ``contrast``, ``saturation`` and ``hue`` are used.

    Returns:
        ``(n, 3, H, W)`` in [0, 1], clamped once at the end; black stays black.

    Source:
        The first three as ``torchvision.transforms.v2.functional.adjust_*``, except that contrast
        is about the mean grey of the lit pixels and fades out where a pixel is darker than
        :data:`DARK`. Hue is rotated about the axis of the greys, which a matrix does.
    """
    pixels = images.reshape(len(images), 3, -1)
    luma = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    grey = (luma[:, None] * pixels).sum(dim=1)
    lit = (grey / DARK).clamp(max=1)
    mean = (grey * lit).sum(dim=1) / lit.sum(dim=1).clamp(min=1)
    lift = draws.brightness * (1 - draws.contrast) * mean
    saturation = draws.saturation[:, None, None]
    own = torch.eye(3, dtype=images.dtype, device=images.device)
    matrix = _turned(draws.hue) @ (saturation * own + (1 - saturation) * luma)
    matrix = (draws.brightness * draws.contrast)[:, None, None] * matrix
    changed = torch.baddbmm((lift[:, None] * lit)[:, None, :], matrix, pixels)
    return changed.clamp_(0, 1).view(images.shape)


def _turned(hue: Tensor) -> Tensor:
    """``(n, 3, 3)`` turns of the colour cube about its grey diagonal; 120° takes red to green."""
    cosine, sine = hue.deg2rad().cos(), hue.deg2rad().sin()
    even, odd = (1 - cosine) / 3, sine / math.sqrt(3)
    same, back, on = cosine + even, even - odd, even + odd
    rows = [same, back, on, on, same, back, back, on, same]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _ranges(augmentation: str | Augmentation) -> Augmentation:
    if isinstance(augmentation, Augmentation):
        return augmentation
    if augmentation not in RECIPES:
        raise InputError(f"augment={augmentation}: allowed: {', '.join(AUGMENTATIONS)}")
    return RECIPES[augmentation]
