"""Settings that no training can have."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.training import TrainingOptions


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs=0: must be at least 1"),
        ({"batch_size": 1}, "batch_size=1: must be at least 2"),
        ({"momentum": -0.1}, "momentum=-0.1: must be at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay=nan: must be at least 0"),
        ({"seed": -1}, "seed=-1: must be from 0 to 4294967295"),
        ({"lr": 0.0}, "lr=0.0: must be a finite number above 0"),
        ({"lr": float("inf")}, "lr=inf: must be a finite number"),
        ({"optimizer": "adam"}, "optimizer=adam: allowed: adamw, sgd"),
        ({"schedule": "linear"}, "schedule=linear: allowed: cosine, step, onecycle, constant"),
        ({"precision": "fp8"}, "precision=fp8: allowed: auto, fp32, bf16, fp16"),
        ({"accumulate": 0}, "accumulate=0: must be at least 1"),
        ({"accumulate": 3}, "accumulate=3: must divide batch_size=8"),
        ({"warmup": -1.0}, "warmup=-1.0: must be at least 0"),
        ({"warmup": 3.0}, "warmup=3.0: must be below epochs=3"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0: must be at least 0"),
        ({"patience": -1}, "patience=-1: must be at least 0"),
        ({"ema": 1.0}, "ema=1.0: must be 0 or more and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing=-0.1: must be 0 or more and below 1"),
        ({"layer_decay": 0.0}, "layer_decay=0.0: must be above 0 and at most 1"),
        ({"layer_decay": 1.5}, "layer_decay=1.5: must be above 0 and at most 1"),
        ({"balance": "both"}, "balance=both: allowed: none, sampler, loss"),
        (
            {"freeze": "head"},
            "freeze=head: allowed: none, backbone, batchnorm, or a number of levels from 1",
        ),
        ({"augment": "strong"}, "augment=strong: allowed: none, flip, geometry, full"),
    ],
)
def test_options_refuse(changed, message):
    """Wrong settings end before any data is read."""
    with pytest.raises(InputError, match=message):
        TrainingOptions(**{"epochs": 3, "batch_size": 8} | changed)
