"""The exported program of a version: what goes into it, and how it comes out again."""

import json
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from tracking.archives import check_archive
from tracking.version_files import CODE, EXAMPLE, MLMODEL, PROGRAM, SERVING_EXAMPLE

PIXEL_RULE = "images must be float32 RGB in [0, 1]: divide 8-bit values by 255"
"""What the program raises on pixels outside [0, 1]; torch itself names a wrong dtype."""
TOLERANCE = 1e-3
"""How far a pixel may lie outside [0, 1]: resizing overshoots a little."""


ANY_SIDE = 64
"""Side of the images that a network for any size is exported with, pixels."""


@dataclass(frozen=True, kw_only=True)
class PhotographService:
    """What makes a version answer raw photographs wherever MLflow loads it.

    Attributes:
        loader: Dotted name of the module whose ``_load_pyfunc(path, config)`` reads the exported
            program at ``path`` and hands back an object with ``predict``.
        code: Folders of the packages that the loader imports.
        config: What it needs beside the program; MLflow's ``model_config``.
        signature: What ``predict`` takes and gives.
        example: An input of it.
        packages: Distributions it imports, pinned as they are installed here.
    """

    loader: str
    code: Sequence[Path]
    config: Mapping[str, Any]
    signature: ModelSignature
    example: pd.DataFrame
    packages: Sequence[str]


def log_program(
    model: nn.Module,
    *,
    extra_files: Sequence[Path],
    step: int,
    side: int | None = None,
    service: PhotographService | None = None,
) -> str:
    """Export a network and store it as a logged model of the active run.

    The exported copy asserts that its pixels are float32 in [0, 1]; ``model`` is left alone.

    Args:
        model: Maps ``(N, 3, H, W)`` float32 in [0, 1] to ``(N,)`` logits.
        extra_files: Stored beside it, under ``extra_files``.
        step: Step of the metrics that MLflow links to the logged model.
        side: The only H and W that ``model`` takes, which the signature then says; None takes any.
        service: Lets MLflow's ``pyfunc`` take raw photographs; without it, it takes the program's
            pixels.

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
    logged = Model.log(
        artifact_path=None,
        name="classifier",
        flavor=_Program(service),
        flavor_name="pytorch",
        pytorch_model=portable.eval(),
        serialization_format="pt2",
        signature=signature,
        input_example=example,
        extra_files=[str(path) for path in extra_files],
        pip_requirements=_pinned(("torch", "torchvision") if service is None else service.packages),
        step=step,
        # Reads the program back and runs it, which takes as long as the export; a failure would
        # only be a warning.
        validate_serving_input=False,
    )
    return str(logged.model_id)


def log_files(client: MlflowClient, run_id: str, files: Sequence[Path], *, step: int) -> str:
    """Store the files of a network as a logged model of a run, without a program.

    Args:
        client: Writes to the store.
        run_id: The run that made the network.
        files: Stored under ``extra_files``.
        step: As in :func:`log_program`.

    Returns:
        Id of the logged model.
    """
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name="classifier", source_run_id=run_id
    )
    with TemporaryDirectory() as folder:
        for file in files:
            shutil.copy(file, folder)
        client.log_model_artifacts(model.model_id, folder, "extra_files")
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    return str(model.model_id)


class _Program:
    """Writes MLflow's torch model, and for a service another ``pyfunc`` beside it."""

    def __init__(self, service: PhotographService | None) -> None:
        self._service = service

    def save_model(self, path: str, mlflow_model: Model, **how: Any) -> None:  # noqa: ANN401
        """Save as ``Model.log`` asks for it."""
        mlflow.pytorch.save_model(path=path, mlflow_model=mlflow_model, **how)
        if self._service is not None:
            _add_service(self._service, Path(path), mlflow_model)


def _add_service(service: PhotographService, folder: Path, model: Model) -> None:
    """Put a service in place of the ``pyfunc`` that takes the program's pixels."""
    for package in service.code:
        shutil.copytree(
            package, folder / CODE / package.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    model.signature = service.signature
    example = service.example.to_dict(orient="split", index=False)
    (folder / EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
    model.saved_input_example_info = {
        "artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split",
        "serving_input_path": SERVING_EXAMPLE,
    }  # fmt: skip
    (folder / SERVING_EXAMPLE).write_text(
        json.dumps({"dataframe_split": example}), encoding="utf-8"
    )
    model.metadata = dict(service.config)
    mlflow.pyfunc.add_to_model(
        model,
        loader_module=service.loader,
        data=PROGRAM,
        code=CODE,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config=dict(service.config),
    )
    model.save(str(folder / MLMODEL))


def _pinned(packages: Sequence[str]) -> list[str]:
    return [f"{package}=={installed_version(package)}" for package in packages]


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
