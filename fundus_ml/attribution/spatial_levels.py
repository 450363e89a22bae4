"""The last layer of a network whose output still has a place for every part of the picture."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier

POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d)


@dataclass(frozen=True, kw_only=True)
class SpatialLevel:
    """A layer and how its output lies in space.

    Attributes:
        layer: Gives ``(N, C, h, w)``, ``(N, h, w, C)`` or tokens ``(N, prefix + h·w, C)``.
        channels_last: Whether the channels are the last of four axes.
        grid: ``(h, w)`` of tokens; None where the output has four axes.
        prefix: Tokens of no place, which stand first.
    """

    layer: nn.Module
    channels_last: bool = False
    grid: tuple[int, int] | None = None
    prefix: int = 0

    def spatial(self, output: Tensor) -> Tensor:
        """Bring an output into ``(N, C, h, w)``, without the tokens of no place."""
        if self.grid is not None:
            tokens = output[:, self.prefix :]
            output = tokens.reshape(len(tokens), *self.grid, -1)
        elif not self.channels_last:
            return output
        return output.permute(0, 3, 1, 2)

    def restored(self, output: Tensor, spatial: Tensor) -> Tensor:
        """Put ``(N, C, h, w)`` back into the form of ``output``."""
        if self.grid is None and not self.channels_last:
            return spatial
        back = spatial.permute(0, 2, 3, 1)
        if self.grid is None:
            return back
        return torch.cat((output[:, : self.prefix], back.flatten(1, 2)), dim=1)


@contextmanager
def gridded(level: SpatialLevel) -> Iterator[nn.Module]:
    """Lead the level's output through a module that sees it as ``(N, C, h, w)``, and hand it."""
    grid = nn.Identity()

    def through(_layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return level.restored(output, grid(level.spatial(output)))

    handle = level.layer.register_forward_hook(through)
    try:
        yield grid
    finally:
        handle.remove()


def last_level(model: nn.Module, image: Tensor, *, run: Callable[[Tensor], Tensor]) -> SpatialLevel:
    """Find the last level by one pass.

    Args:
        model: In evaluation mode; of a :class:`Classifier` inside it only the backbone is searched.
        image: ``(1, 3, H, W)``.
        run: Passes an image through ``model``.

    Returns:
        Of a transformer with blocks, what the last block normalises first: only its class token
        reads what the block gives. Of any other network the last output with more than one place
        that is no pooling.

    Raises:
        InputError: There is none, or tokens come last whose grid is not known.
    """
    classifier = next((each for each in model.modules() if isinstance(each, Classifier)), None)
    backbone = model if classifier is None else classifier.backbone
    name = type(model).__name__ if classifier is None else f"arch={classifier.spec.arch}"
    given = _outputs(backbone, image, run)
    blocks = getattr(backbone, "blocks", None)
    last_block = blocks[-1] if isinstance(blocks, nn.Sequential | nn.ModuleList) else None
    tokens = {layer: shape for layer, shape in given if len(shape) == 3}  # noqa: PLR2004 (N, T, C)
    if last_block in tokens:
        layer = getattr(last_block, "norm1", last_block)
        return _of_tokens(backbone, layer, tokens[last_block], image, name)
    channels_last = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
    axis = 1 if channels_last else 2
    spatial = [
        position
        for position, (layer, shape) in enumerate(given)
        if len(shape) == 4 and min(shape[axis], shape[axis + 1]) > 1  # noqa: PLR2004
        if not isinstance(layer, POOLINGS)
    ]
    if not spatial:
        raise InputError(f"{name} has no layer whose output has places")
    if any(len(shape) == 3 and shape[1] > 1 for _, shape in given[spatial[-1] :]):  # noqa: PLR2004
        raise InputError(f"{name} ends in tokens whose grid is not known")
    return SpatialLevel(layer=given[spatial[-1]][0], channels_last=channels_last)


def _outputs(
    backbone: nn.Module, image: Tensor, run: Callable[[Tensor], Tensor]
) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """List the shapes that the layers of the backbone give, in the order of the pass."""
    given: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(layer: nn.Module, _inputs: tuple[Any, ...], output: object) -> None:
        if isinstance(output, Tensor):
            given.append((layer, tuple(output.shape)))

    handles = [layer.register_forward_hook(note) for layer in backbone.modules()]
    try:
        run(image)
    finally:
        for handle in handles:
            handle.remove()
    return given


def _of_tokens(
    backbone: nn.Module, layer: nn.Module, shape: tuple[int, ...], image: Tensor, name: str
) -> SpatialLevel:
    prefix = int(getattr(backbone, "num_prefix_tokens", 0))
    sides = getattr(getattr(backbone, "patch_embed", None), "patch_size", None)
    if sides is not None:
        height, width = (-(-image.shape[axis] // sides[axis - 2]) for axis in (2, 3))
        if prefix + height * width == shape[1] and min(height, width) > 1:
            return SpatialLevel(layer=layer, grid=(height, width), prefix=prefix)
    raise InputError(f"{name} ends in tokens whose grid is not known")
