"""Maps from the gradient of the logit by the pixels: at the eye, around it, and through ReLUs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fundus_ml.attribution.explained_logit import ExplainedLogit, generators, passes
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.models.classifiers import Classifier
from fundus_ml.modulation.saliency import with_noise

RELUS = frozenset(
    {
        torch.relu,
        torch.relu_,
        Tensor.relu,
        Tensor.relu_,
        functional.relu,
        functional.relu6,
    }
)
"""Every way to apply a ReLU; layers go through these functions, ``nn.ReLU6`` through hardtanh."""
OTHER_ACTIVATIONS = (
    "CELU", "ELU", "GELU", "GELUTanh", "GELU_", "HardMish", "HardMishMe", "HardSwish",
    "HardSwishMe", "Hardswish", "LeakyReLU", "Mish", "MishMe", "PReLU", "QuickGELU", "SELU",
    "SiLU", "Softplus", "Swish", "SwishMe",
)  # fmt: skip
"""Classes of activations between layers that are no ReLU; gates, such as sigmoids, may stay."""


def gradient(explained: ExplainedLogit, images: Tensor, _options: AttributionOptions) -> Tensor:
    """Sum the input gradient over RGB, ``(N, H, W)``.

    Source:
        Simonyan et al. 2014, arXiv:1312.6034, who take the largest size over RGB.
    """
    return explained.gradient(images).sum(1)


def gradient_squared(
    explained: ExplainedLogit, images: Tensor, _options: AttributionOptions
) -> Tensor:
    """Sum the squared input gradient over RGB, ``(N, H, W)``."""
    return explained.gradient(images).square().sum(1)


def gradient_times_input(
    explained: ExplainedLogit, images: Tensor, _options: AttributionOptions
) -> Tensor:
    """Sum gradient times pixel value over RGB, ``(N, H, W)``.

    Source:
        Shrikumar et al. 2016, arXiv:1605.01713.
    """
    return (explained.gradient(images) * images).sum(1)


def smoothgrad(explained: ExplainedLogit, images: Tensor, options: AttributionOptions) -> Tensor:
    """Average the input gradient over noisy copies, summed over RGB, ``(N, H, W)``.

    Source:
        Smilkov et al. 2017, arXiv:1706.03825.
    """
    return _over_noise(explained, images, options, lambda gradients: gradients)


def smoothgrad_squared(
    explained: ExplainedLogit, images: Tensor, options: AttributionOptions
) -> Tensor:
    """Average the squared input gradient over noisy copies, summed over RGB, ``(N, H, W)``.

    Source:
        Hooker et al. 2019, arXiv:1806.10758.
    """
    return _over_noise(explained, images, options, torch.square)


def _over_noise(
    explained: ExplainedLogit,
    images: Tensor,
    options: AttributionOptions,
    kept: Callable[[Tensor], Tensor],
) -> Tensor:
    """Average ``kept`` of the gradients at the noisy copies; noise may leave [0, 1]."""
    drawn = generators(images, options.seed)
    found = torch.zeros_like(images[:, 0])
    count = options.noisy_passes
    for eyes, _ in passes(len(images), count, options.batch_size, images.device):
        own = [drawn[eye] for eye in eyes.tolist()]
        noisy = with_noise(images[eyes], own, noise=options.noise)
        found.index_add_(0, eyes, kept(explained.gradient(noisy)).sum(1))
    return found / count


def guided_backprop(
    explained: ExplainedLogit, images: Tensor, _options: AttributionOptions
) -> Tensor:
    """Sum the guided gradient over RGB, ``(N, H, W)``: ReLUs pass back what is above 0 alone.

    Source:
        Springenberg et al. 2015, arXiv:1412.6806. captum and pytorch-grad-cam guide ``nn.ReLU``
        layers; ours guides ReLU6 and ReLUs applied as functions too.
    """
    with _GuidedReLUs():
        return explained.gradient(images).sum(1)


def why_not_guided(model: nn.Module) -> str | None:
    """Say why guided backpropagation cannot explain ``model``, or None."""
    classifier = next((each for each in model.modules() if isinstance(each, Classifier)), None)
    within = model if classifier is None else classifier.backbone
    name = type(model).__name__ if classifier is None else f"arch={classifier.spec.arch}"
    kinds = {type(module).__name__ for module in within.modules()}
    others = sorted(kinds & set(OTHER_ACTIVATIONS))
    if others:
        return f"{name} has {', '.join(others)} and guided backpropagation is defined for ReLU"
    if not kinds & {"ReLU", "ReLU6"}:
        return f"{name} has no ReLU layer"
    return None


class _GuidedReLUs(TorchFunctionMode):
    """Hooks what each ReLU gives, so that only gradients above 0 go back through it."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Run ``func``, and hook what it gives where it is a ReLU."""
        given = func(*args, **(kwargs or {}))
        six = func is functional.hardtanh and (kwargs or {}).get("min_val") == 0
        if (six or func in RELUS) and isinstance(given, Tensor) and given.requires_grad:
            given.register_hook(torch.relu)  # type: ignore[no-untyped-call]
        return given
