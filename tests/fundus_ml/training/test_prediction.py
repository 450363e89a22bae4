"""Scores: in order, each once, and the network as it was."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel
from fundus_ml.robust_training import PGDTraining
from fundus_ml.training import predict
from tests.fundus_ml.tiny_learning import SIZE, SmallNetwork, make_dataset

ATTACK = PGDTraining(
    threat=ThreatModel(constraint="l2", eps=0.5),
    step_size=0.3,
    attack_steps=2,
    random_start=True,
    precision="fp32",
)


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    """12 eyes."""
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"val": 6})


def equal_states(first, second):
    """Whether two networks hold the same bits."""
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 5, 12, 50])
def test_predict_scores_in_order(val, batch_size):
    """Batches change no score; every eye is scored once, in its place."""
    model, done = SmallNetwork(seed=2), []
    logit = predict(
        model, val, batch_size=batch_size, precision="fp32",
        on_step=lambda *counts: done.append(counts),
    )  # fmt: skip
    pixels = torch.from_numpy(val.pixels(np.arange(12))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        wanted = torch.cat([copy.deepcopy(model).eval()(image[None]) for image in pixels])
    torch.testing.assert_close(logit, wanted, atol=1e-6, rtol=1e-5)
    assert logit.dtype == torch.float32
    assert not logit.is_inference()
    assert done[-1] == (12, 12)
    assert len(done) == math.ceil(12 / batch_size)


def test_predict_under_attack(val):
    """The attack sees the labels, starts from the seed, and makes scores worse."""
    model = SmallNetwork(seed=2)
    how = {"batch_size": 5, "precision": "fp32"}
    labels = torch.from_numpy(val.labels)
    clean = predict(model, val, **how)
    attacked = predict(model, val, **how, perturb=ATTACK, seed=1)
    loss = binary_cross_entropy_with_logits
    assert loss(attacked, labels) > loss(clean, labels)
    assert torch.equal(predict(model, val, **how, perturb=ATTACK, seed=1), attacked)
    assert not torch.equal(predict(model, val, **how, perturb=ATTACK, seed=2), attacked)


@pytest.mark.parametrize("fails", [False, True])
def test_predict_gives_the_network_back(val, fails):
    """Training mode, a BatchNorm held in evaluation and its statistics survive, error or not."""
    model = SmallNetwork().train()
    model.norm.eval()
    before = copy.deepcopy(model)

    def attack(network, images, _labels, _generator):
        assert not any(module.training for module in network.modules())
        if fails:
            raise KeyboardInterrupt
        return images

    try:
        predict(model, val, batch_size=5, perturb=attack)
    except KeyboardInterrupt:
        assert fails
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert equal_states(model, before)


def test_predict_follows_precision(val):
    """In bf16 the scores differ a little, and come back as float32."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 1), nn.Flatten(0))
    exact = predict(model, val, batch_size=5, precision="fp32")
    rough = predict(model, val, batch_size=5, precision="bf16")
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0.02)
