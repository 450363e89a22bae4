"""Fit and predict, alone or as one of two processes, and say what came out: test_distribution."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import torch

from experiments.running.launch import process_group
from fundus_ml.attacks import ThreatModel
from fundus_ml.data.opening import open_dataset
from fundus_ml.models import ClassifierSpec, make_classifier, measured_precision
from fundus_ml.robust_training import PGDTraining
from fundus_ml.training import TrainingOptions, fit, fit_above, predict, store_below
from fundus_ml.training.distribution import add_up, from_first, world
from tests.fundus_ml.tiny_learning import SmallNetwork

HOW = {
    "clean": {"augment": "full", "ema": 0.5},
    "robust": {},
    "accumulated": {"accumulate": 2, "freeze": "batchnorm"},
}
ATTACK = PGDTraining(
    threat=ThreatModel(constraint="l2", eps=0.5), step_size=0.3, attack_steps=2, precision="fp32"
)


def fitted(name, eyes):
    """Fit as ``HOW`` says; give back what must not depend on the number of processes."""
    model = SmallNetwork()
    model.drop.p = 0.0
    options = TrainingOptions(
        epochs=4, batch_size=8, lr=0.2, optimizer="sgd", precision="fp32", seed=5, **HOW[name]
    )
    perturb = ATTACK if name == "robust" else None
    found = fit(model, eyes.split("train"), eyes.split("val"), options, perturb=perturb)
    return {
        "history": found.history.drop(columns="seconds").to_dict("list"),
        "weights": [float(v.double().sum()) for v in found.model.state_dict().values()],
        "norm": type(model.norm).__name__,
    }


def fitted_above(eyes):
    """Fit above the frozen levels of one of timm's networks, whose BatchNorm has an activation."""
    spec = ClassifierSpec(
        arch="test_efficientnet", head_hidden=4, mean=(0.5,) * 3, std=(0.2,) * 3, size=eyes.size,
        head="multiscale",
    )  # fmt: skip
    model = make_classifier(spec, seed=0)
    options = TrainingOptions(
        epochs=2, batch_size=8, lr=0.05, optimizer="sgd", precision="fp32", seed=5, freeze="2"
    )
    within = eyes.paths[0].with_name(f"features of {world().size}")
    above = store_below(model, eyes.split("train"), eyes.split("val"), options, within=within)
    found = fit_above(model, above, options)
    return {
        "history": found.history.drop(columns="seconds").to_dict("list"),
        "weights": [float(v.double().sum()) for v in found.model.state_dict().values()],
    }


def in_bf16(eyes):
    """Fit where the first process finds bf16 faster and the others fp32; count who ran in bf16."""
    faster = torch.bfloat16 if world().first else None

    def measure(_model, _images, half, _patience):
        return 0.1 if half == faster else 1.0

    options = TrainingOptions(epochs=1, batch_size=8, precision="auto")
    with (
        patch.object(measured_precision, "seconds_of_step", measure),
        patch.object(measured_precision, "_CHOICES", {}),
    ):
        model = fit(SmallNetwork(), eyes.split("train"), eyes.split("val"), options).model
        chosen = measured_precision.settled(model).precision
    return int(add_up(torch.tensor(chosen == "bf16", dtype=torch.int)))


def thread_names():
    """Name every thread of this process, those of libraries too (Linux)."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def found(folder):
    """What every process must find alike."""
    eyes = open_dataset(folder)
    result = {name: fitted(name, eyes) for name in HOW} | {"above": fitted_above(eyes)}
    logit = predict(SmallNetwork(), eyes.split("val"), batch_size=4, precision="fp32")
    result["in_bf16"] = in_bf16(eyes)
    return result | {"logit": logit.tolist(), "handed": from_first(lambda: "from the first")}


def shared(folder, rank, port, result):
    """Be one of two processes, as ``torchrun`` begins them; the first writes what it found."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    with process_group(allowed=True):
        content = found(folder)
        first = world().first
    content["left"] = [name for name in thread_names() if "gloo" in name]
    if first:
        Path(result).write_text(json.dumps(content))
