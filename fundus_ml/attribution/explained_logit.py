"""The logit that is explained: what a method may ask of the network, and in which batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor, nn

from fundus_ml.attacks.folding import folded_where_equal
from fundus_ml.attacks.search import check_images
from fundus_ml.attribution.spatial_levels import SpatialLevel, last_level
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier, TwoLogits
from fundus_ml.models.precision import autocast


@dataclass(frozen=True, kw_only=True)
class ExplainedLogit:
    """A frozen network whose logit is explained, in fp32.

    Attributes:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; what methods that need layers hook.
        quick: The same network folded, for methods of many passes; ``model`` where folding is not
            asked for, does nothing or does not agree.
        first: ``(1, 3, H, W)``, on which it is found what the network is like.
        scale: Factor of the logit that is explained: 1, or 1/2 where a :class:`TwoLogits` view,
            whose second class has the logit ``z/2``, was given.
    """

    model: nn.Module
    quick: nn.Module
    first: Tensor
    scale: float

    @classmethod
    def of(cls, classifier: nn.Module, images: Tensor, *, many_passes: bool) -> "ExplainedLogit":
        """Look through a two-class view, and fold where many passes pay for it.

        Args:
            classifier: Frozen by the caller; gives ``(N,)`` logits, or is a :class:`TwoLogits`.
            images: ``(N, 3, H, W)`` in [0, 1]; the first one decides whether folding agrees.
            many_passes: Whether to fold.

        Raises:
            InputError: ``images`` are of another shape or leave [0, 1].
        """
        viewed = isinstance(classifier, TwoLogits)
        model: nn.Module = classifier.model if viewed else classifier  # type: ignore[assignment]
        check_images(images)
        quick = folded_where_equal(model, images) if many_passes else model
        return cls(model=model, quick=quick, first=images[:1], scale=0.5 if viewed else 1.0)

    def logit(self, images: Tensor) -> Tensor:
        """Score ``(M, 3, H, W)`` without a gradient, ``(M,)``."""
        with torch.no_grad():
            return self.scale * self._forward(images)

    def gradient(self, images: Tensor) -> Tensor:
        """Differentiate the logit of each of ``(M, 3, H, W)`` by its pixels, same shape."""
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self._forward(images).sum(), images)
        return self.scale * gradient

    @cached_property
    def level(self) -> SpatialLevel:
        """Find the last spatial level, as :func:`last_level`."""
        with torch.no_grad():
            return last_level(self.model, self.first, run=self._forward)

    def _forward(self, images: Tensor) -> Tensor:
        with autocast("fp32", images.device):
            logit: Tensor = self.quick(images)
        if logit.shape != images.shape[:1]:
            raise InputError(
                f"classifier: gives {tuple(logit.shape)} for {len(images)} images; allowed are "
                "one logit each or two_logits(...) of such a network"
            )
        return logit


def passes(eyes: int, each: int, batch_size: int, device: torch.device) -> Iterator[list[Tensor]]:
    """Cut ``each`` pictures of every eye into passes.

    Yields:
        ``(M,)`` which eye and ``(M,)`` which of its pictures, M at most ``batch_size``.
    """
    for part in torch.split(torch.arange(eyes * each, device=device), batch_size):
        yield [part // each, part % each]


@contextmanager
def one_view(model: nn.Module) -> Iterator[bool]:
    """Hold every classifier inside ``model`` to the image without its mirror image.

    Yields:
        Whether the logit is the mean of both views outside this context.
    """
    both = [
        (module, module.spec)
        for module in model.modules()
        if isinstance(module, Classifier) and module.spec.both_flips
    ]
    for module, spec in both:
        module.spec = replace(spec, both_flips=False)
    try:
        yield bool(both)
    finally:
        for module, spec in both:
            module.spec = spec


def generators(images: Tensor, seed: int) -> list[np.random.Generator]:
    """Seed one generator per eye by ``seed`` and the eye's own pixels, not by its place."""
    contents = (image.detach().contiguous().cpu().numpy().tobytes() for image in images)
    digests = (blake2b(content, digest_size=8).digest() for content in contents)
    return [np.random.default_rng((seed, int.from_bytes(digest, "big"))) for digest in digests]
