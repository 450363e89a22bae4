"""The exported program of a version: what goes into it, and how it comes out again."""

from collections.abc import Sequence
from copy import deepcopy
from importlib.metadata import version as installed_version
from pathlib import Path

import mlflow
import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from tracking.archives import check_archive

PIXEL_RULE = "images must be float32 RGB in [0, 1]: divide 8-bit values by 255"
"""What the program raises on pixels outside [0, 1]; torch itself names a wrong dtype."""
TOLERANCE = 1e-3
"""How far a pixel may lie outside [0, 1]: resizing overshoots a little."""


ANY_SIDE = 64
"""Side of the images that a network for any size is exported with, pixels."""


def log_program(
    model: nn.Module, *, extra_files: Sequence[Path], step: int, side: int | None = None
) -> str:
    """Export a network and store it as a logged model of the active run.

    The exported copy asserts that its pixels are float32 in [0, 1]; ``model`` is left alone.

    Args:
        model: Maps ``(N, 3, H, W)`` float32 in [0, 1] to ``(N,)`` logits.
        extra_files: Stored beside it, under ``extra_files``.
        step: Step of the metrics that MLflow links to the logged model.
        side: The only H and W that ``model`` takes, which the signature then says; None takes any.

    Returns:
        Id of the logged model.
    """
    portable = deepcopy(model).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    portable.register_forward_pre_hook(_refuse_other_pixels)
    # Unnamed: a named input reaches the torch flavour as a dictionary, which it refuses.
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, 3, side or -1, side or -1))]),
        Schema([TensorSpec(np.dtype("float32"), (-1,))]),
    )
    # torch.export fixes any axis of length 1, so the example holds two images.
    example = np.zeros((2, 3, side or ANY_SIDE, side or ANY_SIDE), np.float32)
    logged = mlflow.pytorch.log_model(
        portable.eval(),
        name="classifier",
        signature=signature,
        input_example=example,
        extra_files=[str(path) for path in extra_files],
        pip_requirements=[
            f"{package}=={installed_version(package)}" for package in ("torch", "torchvision")
        ],
        step=step,
        # Reads the program back and runs it, which takes as long as the export; a failure would
        # only be a warning.
        validate_serving_input=False,
    )
    return str(logged.model_id)


def read_program(path: Path) -> nn.Module:
    """Load an exported program whose archive can run nothing but tensor operators.

    Raises:
        TrackingError: As in :func:`tracking.archives.check_archive`.
    """
    check_archive(path)
    program: nn.Module = torch.export.load(path).module()
    return program


def _refuse_other_pixels(_: nn.Module, inputs: tuple[Tensor]) -> None:
    """Assert inside the exported graph that pixels are float32 in [0, 1]; NaN is outside."""
    (images,) = inputs
    torch.ops.aten._assert_tensor_metadata.default(  # noqa: SLF001 (the operator that exports)
        images, dtype=torch.float32
    )
    inside = ((images - 0.5).abs() <= 0.5 + TOLERANCE).all()
    torch._assert_async(inside, PIXEL_RULE)  # noqa: SLF001 (as above)
