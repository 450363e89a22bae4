"""The one place that imports captum."""

from torch import Tensor, nn


def layer_grad_cam(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """Run captum's ``LayerGradCam`` on the logit.

    Args:
        model: Maps ``(N, 3, H, W)`` to ``(N,)`` logits.
        layer: Gives ``(N, C, h, w)``, once in a pass.
        images: ``(N, 3, H, W)``.

    Returns:
        ``(N, h, w)``, without the ReLU: negative where it speaks for the first class.
    """
    from captum.attr import LayerGradCam  # noqa: PLC0415 (takes a second)

    found: Tensor = LayerGradCam(model, layer).attribute(images.detach())
    return found.detach()[:, 0]
