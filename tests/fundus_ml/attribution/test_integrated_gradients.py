"""Integrated gradients: against captum, and complete."""

import pytest
import torch
from captum.attr import IntegratedGradients

from fundus_ml.attribution.baselines import baseline_of
from tests.fundus_ml.attribution.tiny_explanations import explain, eyes, small_classifier
from tests.fundus_ml.tiny_learning import SmallNetwork


@pytest.mark.parametrize("baseline", ["mean", "black", "blur"])
@pytest.mark.parametrize("both_flips", [False, True])
def test_is_captums(baseline, both_flips):
    network, images = small_classifier(both_flips=both_flips).eval(), eyes()
    found = explain("integrated_gradients", network, images, baseline=baseline)
    wanted = IntegratedGradients(network).attribute(
        images, baselines=baseline_of(images, baseline), n_steps=5
    )
    # Ours is folded: where rounding puts a ReLU on its other side, a few pixels differ.
    size = float(found.abs().max())
    assert (found - wanted.sum(1)).abs().quantile(0.95) < 1e-4 * size
    assert (found - wanted.sum(1)).abs().max() < 0.05 * size


def test_adds_up_to_the_difference_of_the_logits():
    network, images = SmallNetwork().eval(), eyes(2)
    found = explain("integrated_gradients", network, images, integration_steps=12, baseline="black")
    with torch.no_grad():
        wanted = network(images) - network(torch.zeros_like(images))
    torch.testing.assert_close(found.sum((1, 2)), wanted, rtol=1e-3, atol=1e-5)
    assert wanted.abs().min() > 1e-3
