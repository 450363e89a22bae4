"""Networks of each kind go the whole way: trained, made robust, modulated, exported, loaded."""

import mlflow
import numpy as np
import pytest
import torch
import torchvision

from experiments import modulate, robustify, train
from fundus_ml.data.opening import open_dataset
from tests.experiments.conftest import flags
from tracking import registry
from tracking.stores import initialise_tracking

SMALL = {"batch_size": 8, "epochs": 1, "bootstrap": 50, "precision": "fp32"}


def own_weights(folder):
    """A ResNet-50 as somebody else may have trained it, with its 1,000 classes."""
    torch.manual_seed(7)
    network = torchvision.models.resnet50(weights=None)
    torch.save({"state_dict": network.state_dict()}, folder / "own.pt")
    return network, str(folder / "own.pt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "head"),
    [
        ("resnet50", "last"),
        ("vit_small_patch16_224", "last"),
        ("convnext_tiny", "multiscale"),
        ("efficientnet_lite0", "multiscale"),
        ("efficientnet_lite0", "grid"),
        ("efficientnet_lite0", "attention"),
        ("efficientnet_lite0", "bag"),
    ],
)
def test_a_network_goes_the_whole_way(chain, tmp_path, arch, head):
    weights = own_weights(tmp_path)[1] if arch == "resnet50" else "none"
    name = arch.replace("_", "-")
    usual = {**SMALL, "dataset": chain.dataset, "register_as": name}
    train.main(flags(usual | {"arch": arch, "head": head, "weights": weights}))
    attacked = {"model": f"models:/{name}/1", "eps": 1, "attack_steps": 2, "gate": "false"}
    robustify.main(flags(usual | attacked))
    modulate.main(
        flags(
            {
                "dataset": chain.dataset, "model": f"models:/{name}/2", "images": 2, "eps": "1,2",
                "attack_steps": 2, "bootstrap": 50, "min_norm_steps": 4, "batch_size": 2,
            }
        )
    )  # fmt: skip
    initialise_tracking()
    classifier = registry.load_classifier(f"models:/{name}/2")
    assert classifier.spec.arch == arch
    program = mlflow.pytorch.load_model(f"models:/{name}/2")
    pixels = open_dataset(chain.dataset).pixels([0, 1, 2])
    images = torch.from_numpy(np.moveaxis(pixels, 3, 1)).float() / 255
    # Programs of stride 32 take no side below the 64 px they are exported with.
    images = torch.nn.functional.interpolate(images, size=(72, 96))
    with torch.no_grad():
        torch.testing.assert_close(program(images), classifier(images), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_weights_of_ones_own_are_what_a_training_starts_from(chain, tmp_path):
    """A rate of almost nothing leaves them where they were."""
    network, weights = own_weights(tmp_path)
    values = {**SMALL, "dataset": chain.dataset, "arch": "resnet50", "weights": weights}
    train.main(flags(values | {"register_as": "started", "lr": 1e-12, "weight_decay": 0}))
    initialise_tracking()
    found = registry.load_classifier("models:/started/1").backbone.state_dict()
    for key, value in network.state_dict().items():
        if key.endswith(".weight") and not key.startswith("fc."):
            torch.testing.assert_close(found[key], value, atol=1e-6, rtol=1e-6)
