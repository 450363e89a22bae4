"""Every attribution method by name, called in one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.attacks.search import check_images, frozen
from fundus_ml.attribution.class_activation import grad_cam, grad_cam_plus_plus, upsampled
from fundus_ml.attribution.controls import VESSELS, control
from fundus_ml.attribution.explained_logit import ExplainedLogit
from fundus_ml.attribution.gradients import (
    gradient,
    gradient_squared,
    gradient_times_input,
    guided_backprop,
    smoothgrad,
    smoothgrad_squared,
    why_not_guided,
)
from fundus_ml.attribution.integrated_gradients import integrated_gradients
from fundus_ml.attribution.modulation_energy import modulation
from fundus_ml.attribution.occlusion import occlusion
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.attribution.xrai import xrai
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier, TwoLogits

EVIDENCE = "evidence"
DEFAULT = AttributionOptions()


@dataclass(frozen=True, kw_only=True)
class _Method:
    """How a map is made of the network.

    Attributes:
        make: Maps the network, eyes and options to ``(N, H, W)``.
        signed: Whether values below 0 speak for the first class.
        many_passes: Whether folding the network pays.
    """

    make: Callable[[ExplainedLogit, Tensor, AttributionOptions], Tensor]
    signed: bool = True
    many_passes: bool = False


def _evidence(explained: ExplainedLogit, images: Tensor, _options: AttributionOptions) -> Tensor:
    """Stretch the classifier's own evidence to the picture."""
    own = _evidence_of(explained.model)
    assert own is not None
    with torch.no_grad():
        return explained.scale * upsampled(own(images), images)


_OF_NETWORKS: Mapping[str, _Method] = MappingProxyType(
    {
        "gradient": _Method(make=gradient),
        "gradient_squared": _Method(make=gradient_squared, signed=False),
        "gradient_times_input": _Method(make=gradient_times_input),
        "smoothgrad": _Method(make=smoothgrad, many_passes=True),
        "smoothgrad_squared": _Method(make=smoothgrad_squared, signed=False, many_passes=True),
        "integrated_gradients": _Method(make=integrated_gradients, many_passes=True),
        "guided_backprop": _Method(make=guided_backprop),
        "grad_cam": _Method(make=grad_cam),
        "grad_cam_plus_plus": _Method(make=grad_cam_plus_plus),
        "occlusion": _Method(make=occlusion, many_passes=True),
        "xrai": _Method(make=xrai, many_passes=True),
        "modulation": _Method(make=modulation, signed=False, many_passes=True),
        EVIDENCE: _Method(make=_evidence),
    }
)
VERSION = 1
"""Rises where the same options give another map: a killed `explain` then begins anew."""
CONTROLS = ("random", "centre", "edges", VESSELS, "area")
"""Maps that ask no network."""
METHODS: tuple[str, ...] = (*_OF_NETWORKS, *CONTROLS)
"""Names, the networks' methods first, then the controls."""
SEEDED = frozenset({"smoothgrad", "smoothgrad_squared", "random"})
"""Methods whose maps depend on the seed; the others give the same map every time."""
SIGNED: Mapping[str, bool] = MappingProxyType(
    {name: name in _OF_NETWORKS and _OF_NETWORKS[name].signed for name in METHODS}
)
"""Whether a method's sign says which class a pixel speaks for; the others say where alone: their
maps are 0 or more, those of modulation negative where a change acts with others alone."""


def attribute(
    method: str,
    classifier: nn.Module,
    images: Tensor,
    *,
    options: AttributionOptions = DEFAULT,
    regions: NDArray[np.uint8] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Map what the logit of each eye rests on.

    The logit is the one a user gets, the mean over both flips where the classifier takes it. The
    network runs frozen, in evaluation mode and in fp32, and is given back as it was. An eye's map
    does not depend on the other eyes, nor its noise on its place among them.

    Args:
        method: One of :data:`METHODS`.
        classifier: Maps pixels in [0, 1] to ``(N,)`` logits, or
            :func:`~fundus_ml.models.classifiers.two_logits` of such a network, whose second logit
            is explained.
        images: ``(N, 3, H, W)`` float32 in [0, 1], on the device of the classifier.
        options: How finely.
        regions: ``(N, H, W)`` uint8 maps of :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`.
        on_step: Called with (eyes done, eyes in all).

    Returns:
        ``(N, H, W)`` float32 on the device of ``images``; positive speaks for the second class,
        where :data:`SIGNED` says so.

    Raises:
        InputError: There is no such method, it cannot serve this classifier, or ``images`` or
            ``regions`` are of another shape, type or range.
    """
    _check_pixels(images)
    if regions is not None and regions.shape != (len(images), *images.shape[2:]):
        raise InputError(
            f"regions: shape must be {(len(images), *images.shape[2:])}, not {regions.shape}"
        )
    found = torch.empty_like(images[:, 0], memory_format=torch.contiguous_format)
    with frozen(classifier):
        reason = _static_reason(method, classifier, has_regions=regions is not None)
        if reason is not None:
            raise InputError(f"method={method}: {reason}")
        make = _maker(method, classifier, images, options)
        for first in range(0, len(images), options.batch_size):
            rows = slice(first, first + options.batch_size)
            found[rows] = make(images[rows], None if regions is None else regions[rows])
            if on_step is not None:
                on_step(min(first + options.batch_size, len(images)), len(images))
    return found


def cannot_serve(method: str, classifier: nn.Module, *, has_regions: bool = True) -> str | None:
    """Say in one line why a method cannot explain a classifier, or None.

    Methods that need layers ask a :class:`Classifier` for them by one pass of a black picture.

    Raises:
        InputError: There is no such method.
    """
    with frozen(classifier):
        reason = _static_reason(method, classifier, has_regions=has_regions)
        inner = _inner(classifier)
        if reason is not None or not isinstance(inner, Classifier):
            return reason
        if method in {"grad_cam", "grad_cam_plus_plus"}:
            side = inner.spec.size
            black = torch.zeros(1, 3, side, side, device=inner.mean.device)
            try:
                _ = ExplainedLogit.of(classifier, black, many_passes=False).level
            except InputError as error:
                return str(error)
    return None


def is_signed(method: str, classifier: nn.Module) -> bool:
    """Say whether the sign of a method's maps says which class a pixel speaks for.

    As :data:`SIGNED`; evidence has a sign where the classifier's head gives it one.
    """
    own = getattr(_inner(classifier), "evidence_is_signed", True)
    return SIGNED[method] and (method != EVIDENCE or bool(own))


def _maker(
    method: str, classifier: nn.Module, images: Tensor, options: AttributionOptions
) -> Callable[[Tensor, NDArray[np.uint8] | None], Tensor]:
    """Bind all that the batches share."""
    if method not in _OF_NETWORKS or not len(images):
        return lambda batch, regions: control(method, batch, options, regions)
    how = _OF_NETWORKS[method]
    explained = ExplainedLogit.of(classifier, images, many_passes=how.many_passes)
    return lambda batch, _regions: how.make(explained, batch, options)


def _static_reason(method: str, classifier: nn.Module, *, has_regions: bool) -> str | None:
    """Say what can be said without a pass."""
    if method not in METHODS:
        raise InputError(f"method={method}: allowed: {', '.join(METHODS)}")
    model = _inner(classifier)
    if method == VESSELS and not has_regions:
        return "there are no region maps"
    if method == EVIDENCE and _evidence_of(model) is None:
        return f"{_name(model)} has no evidence of its own"
    if method == "guided_backprop":
        return why_not_guided(model)
    return None


def _inner(classifier: nn.Module) -> nn.Module:
    """Look through a two-class view."""
    if isinstance(classifier, TwoLogits):
        model: nn.Module = classifier.model
        return model
    return classifier


def _name(model: nn.Module) -> str:
    if isinstance(model, Classifier):
        return f"arch={model.spec.arch} with head={model.spec.head}"
    return type(model).__name__


def _evidence_of(model: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """``evidence`` of a network that says it has one: ``(N, 3, H, W)`` to ``(N, h, w)``."""
    own: Any = model.evidence if getattr(model, "has_evidence", False) else None
    return own if callable(own) else None


def _check_pixels(images: Tensor) -> None:
    check_images(images)
    if images.dtype != torch.float32:
        raise InputError(f"images: must be float32, not {images.dtype}")
