"""The exported program refuses pixels it was not trained on, however it is loaded."""

import re
from copy import deepcopy

import mlflow
import numpy as np
import pytest
import torch

from tracking import registry
from tracking.programs import PIXEL_RULE
from tracking.runs import start_run

URI = "models:/fundus-sex@robust"


def as_tensor(load):
    def ready():
        program = load(URI)
        return lambda images: program(torch.from_numpy(images)).detach().numpy()

    return ready


LOADERS = {
    "ours": as_tensor(registry.load_program),
    "mlflow.pytorch": as_tensor(mlflow.pytorch.load_model),
    "mlflow.pyfunc": lambda: mlflow.pyfunc.load_model(URI).predict,
}
FINE = np.random.default_rng(0).random((3, 3, 40, 33), np.float32)


def with_one(value):
    """A batch with one pixel of one image changed."""
    images = FINE.copy()
    images[2, 1, 7, 5] = value
    return images


OUTSIDE = {
    "0 to 255": FINE * 255, "one pixel over": with_one(1.01), "one pixel under": with_one(-0.01),
    "NaN": with_one(np.nan), "infinite": with_one(np.inf), "-1 to 1": FINE * 2 - 1,
}  # fmt: skip
OF_ANOTHER_TYPE = {
    "uint8": (FINE * 255).astype(np.uint8), "dark uint8": np.zeros((2, 3, 40, 40), np.uint8),
    "float64": FINE.astype(np.float64), "float16": FINE.astype(np.float16),
    "int64": FINE.astype(np.int64),
}  # fmt: skip


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("loader", LOADERS)
def test_other_pixels_are_refused_and_the_rule_is_said(loader):
    predict = LOADERS[loader]()
    for name, images in OUTSIDE.items():
        with pytest.raises(Exception, match=re.escape(PIXEL_RULE)):
            pytest.fail(f"{name}: {predict(images)}")
    for name, images in OF_ANOTHER_TYPE.items():
        with pytest.raises(Exception, match=r"(?i)dtype|type"):
            pytest.fail(f"{name}: {predict(images)}")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("loader", LOADERS)
def test_pixels_in_range_are_scored_also_where_resizing_overshot(loader):
    predict = LOADERS[loader]()
    for images in (
        FINE,
        np.zeros_like(FINE),
        np.ones_like(FINE),
        with_one(-5e-4),
        with_one(1.0005),
    ):
        expected = registry.load_classifier(URI)(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(predict(images), expected, atol=1e-4)


def test_the_network_itself_is_left_alone(registered):
    """Its hooks are those it had: a training pays for no check."""
    assert not registered.network._forward_pre_hooks
    deepcopy(registered.network).eval()(torch.from_numpy(FINE * 255))


@pytest.mark.usefixtures("store")
def test_a_version_from_before_the_check_keeps_loading(network, files, capsys):
    """Neither digests nor the assertion: it scores what it is given, as it did."""
    signature = mlflow.models.ModelSignature(
        mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype("float32"), (-1, 3, -1, -1))]),
        mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype("float32"), (-1,))]),
    )
    with start_run("train", {}):
        logged = mlflow.pytorch.log_model(
            network.eval(), name="classifier", signature=signature,
            input_example=np.zeros((2, 3, 64, 64), np.float32), pip_requirements=["torch"],
            extra_files=[str(files / name) for name in registry.FILES],
        )  # fmt: skip
    mlflow.register_model(f"models:/{logged.model_id}", "old")
    capsys.readouterr()
    program = registry.load_program("models:/old/1")
    assert "carries no digests" in capsys.readouterr().err
    images = torch.from_numpy(FINE * 255)
    torch.testing.assert_close(program(images), network(images), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(registry.load_classifier("models:/old/1")(images), network(images))
