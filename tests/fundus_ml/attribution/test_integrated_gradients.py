"""Integrated gradients: against captum, and complete."""

import pytest
import torch
from captum.attr import IntegratedGradients

from fundus_ml.attribution.baselines import baseline_of
from tests.fundus_ml.attribution.tiny_explanations import classifier, explain, eyes


@pytest.mark.parametrize("baseline", ["mean", "black", "blur"])
@pytest.mark.parametrize("both_flips", [False, True])
def test_is_captums(baseline, both_flips):
    network, images = classifier(both_flips=both_flips).eval(), eyes()
    found = explain("integrated_gradients", network, images, baseline=baseline)
    wanted = IntegratedGradients(network).attribute(
        images, baselines=baseline_of(images, baseline), n_steps=5
    )
    torch.testing.assert_close(found, wanted.sum(1).float(), rtol=1e-3, atol=1e-7)


def test_adds_up_to_the_difference_of_the_logits():
    network, images = classifier().eval(), eyes(2)
    found = explain("integrated_gradients", network, images, integration_steps=100)
    with torch.no_grad():
        wanted = network(images) - network(baseline_of(images, "mean"))
    torch.testing.assert_close(found.sum((1, 2)), wanted, rtol=0.01, atol=1e-4)
    assert wanted.abs().min() > 1e-3
