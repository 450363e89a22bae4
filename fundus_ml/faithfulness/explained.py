"""Images, their maps, and what the network says of both: what every score begins with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from fundus_ml.attacks.folding import folded_where_equal
from fundus_ml.attacks.search import check_images, frozen
from fundus_ml.errors import InputError

Explain = Callable[[nn.Module, Tensor], Tensor]
"""Network and images ``(n, 3, H, W)`` → signed maps ``(n, H, W)``."""
SeededExplain = Callable[[nn.Module, Tensor, int], Tensor]
"""The same with a seed as the third argument."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Images with maps that say where the evidence lies for what the network decided.

    Attributes:
        given: Maps pixels in [0, 1] to ``(N,)`` logits, as it was given.
        quick: The same network made to compute faster.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        attributions: ``(N, H, W)`` float32, as given.
        directed: ``(N, H, W)``, larger where a pixel speaks more for the decision.
        direction: ``(N,)``, +1 where the logit is 0 or more, else -1.
        logits: ``(N,)`` logits in the direction of the decision, so 0 or more.
        batch_size: Images per forward pass.
        seed: Seed of the order of pixels of equal value.
    """

    given: nn.Module
    quick: nn.Module
    images: Tensor
    attributions: Tensor
    directed: Tensor
    direction: Tensor
    logits: Tensor
    batch_size: int
    seed: int

    @classmethod
    def make(
        cls,
        model: nn.Module,
        images: Tensor,
        attributions: Tensor,
        *,
        signed: bool = True,
        batch_size: int = 32,
        seed: int = 0,
        quick: nn.Module | None = None,
    ) -> "Explained":
        """Check images and maps, and ask the network what it decides.

        Args:
            model: Maps pixels in [0, 1] to ``(N,)`` logits; given back as it was.
            images: ``(N, 3, H, W)`` float32 in [0, 1].
            attributions: ``(N, H, W)`` finite; signed maps are positive where a pixel speaks for
                the second class.
            signed: Whether the sign has that meaning; else the absolute value counts.
            batch_size: Images per forward pass.
            seed: Seed of the order of pixels of equal value.
            quick: :func:`quickened` of the network, where it is folded already.

        Raises:
            InputError: Shapes do not match, an image leaves [0, 1], a map is not finite, or the
                network gives no ``(N,)`` logits.
        """
        check_images(images)
        if not len(images):
            raise InputError("images: none; one or more are needed")
        attributions = checked_maps("attributions", attributions, images)
        images = images.detach().float()
        if quick is None:
            quick = quickened(model, images)
        logits = torch.cat(list(_scored(quick, images, batch_size)))
        direction = torch.where(logits >= 0, 1.0, -1.0)
        directed = direction[:, None, None] * attributions if signed else attributions.abs()
        return cls(
            given=model,
            quick=quick,
            images=images,
            attributions=attributions,
            directed=directed,
            direction=direction,
            logits=direction * logits,
            batch_size=batch_size,
            seed=seed,
        )

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    @cached_property
    def places(self) -> Tensor:
        """Place of every pixel when the map is read from its largest value down.

        Pixels of equal value stand in a random order, the same for every image and map: in the
        order of the square, the surround's first rows would come first of every flat map.

        Returns:
            ``(N, H·W)`` int32, 0 for the pixel that speaks most for the decision.
        """
        flat = self.directed.flatten(1)
        generator = torch.Generator().manual_seed(self.seed)
        shuffled = torch.randperm(flat.shape[1], generator=generator).to(flat.device)
        order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
        counted = torch.arange(flat.shape[1], dtype=torch.int32, device=flat.device)
        places = torch.empty_like(order, dtype=torch.int32)
        return places.scatter_(1, order, counted.expand_as(places))

    def pairs(self, changes: int) -> Iterator[Tensor]:
        """Number every change of every image, image by image, ``batch_size`` at a time.

        Args:
            changes: Changed copies of each image.

        Yields:
            ``(n,)`` numbers: the image times ``changes`` plus the change.
        """
        count, device = len(self) * changes, self.images.device
        for first in range(0, count, self.batch_size):
            yield torch.arange(first, min(first + self.batch_size, count), device=device)

    def logits_of(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        """Score changed copies of the images in the direction that was decided on the whole image.

        Args:
            batches: Rows ``(n,)`` of the images that were changed, and ``(n, 3, H, W)`` pixels.

        Returns:
            ``(all n,)`` logits.
        """
        found = [self.direction[rows] * logits for rows, logits in self._asked(batches)]
        return torch.cat(found)

    def _asked(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        with frozen(self.quick), torch.inference_mode():
            for rows, changed in batches:
                yield rows, _asked(self.quick, changed)


def quickened(model: nn.Module, images: Tensor) -> nn.Module:
    """Fold BatchNorm into convolutions where the logit of the first image stays.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; given back as it was.
        images: ``(N, 3, H, W)`` in [0, 1], N 1 or more.

    Returns:
        A network for :class:`Explained` of any images; ``model`` itself where it has no BatchNorm,
        cannot be folded or would say something else.
    """
    with frozen(model):
        quick = folded_where_equal(model, images.float())
    return model if quick is model else quick.to(memory_format=torch.channels_last)


def checked_maps(name: str, maps: Tensor, images: Tensor) -> Tensor:
    """Take maps as float32 on the device of the images.

    Raises:
        InputError: They are not ``(N, H, W)`` of the images, or not finite.
    """
    wanted = (len(images), *images.shape[2:])
    if maps.shape != wanted:
        raise InputError(f"{name}: shape must be {wanted}, not {tuple(maps.shape)}")
    maps = maps.detach().to(images.device, torch.float32)
    bad = int((~maps.isfinite()).sum())
    if bad:
        raise InputError(f"{name}: {bad} of {maps.numel()} values are not finite")
    return maps


def explained_again(
    explain: Explain, model: nn.Module, images: Tensor, *, batch_size: int
) -> Tensor:
    """Make maps in batches, with the network in evaluation mode and its parameters frozen.

    Args:
        explain: Makes the maps.
        model: Network it is handed; given back as it was.
        images: ``(N, 3, H, W)``.
        batch_size: Images it is handed at once.

    Returns:
        ``(N, H, W)`` float32.

    Raises:
        InputError: It gives no finite ``(n, H, W)`` maps.
    """
    with frozen(model):
        parts = (images[first : first + batch_size] for first in range(0, len(images), batch_size))
        return torch.cat([checked_maps("explain", explain(model, part), part) for part in parts])


def _scored(model: nn.Module, images: Tensor, batch_size: int) -> Iterator[Tensor]:
    with frozen(model), torch.inference_mode():
        for first in range(0, len(images), batch_size):
            yield _asked(model, images[first : first + batch_size])


def _asked(model: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = model(images)
    if logits.shape != images.shape[:1]:
        raise InputError(
            f"classifier: must give one logit per image, ({len(images)},), "
            f"not {tuple(logits.shape)}"
        )
    return logits.float()
