"""Occlusion: against captum, windows cut off at the border among them."""

import pytest
import torch
from captum.attr import Occlusion

from fundus_ml.attribution.baselines import baseline_of
from tests.fundus_ml.attribution.tiny_explanations import explain, eyes, small_classifier


@pytest.mark.parametrize(("window", "stride"), [(0.25, 0.25), (0.3, 0.21)])
@pytest.mark.parametrize("both_flips", [False, True])
def test_is_captums(window, stride, both_flips):
    network, images = small_classifier(both_flips=both_flips).eval(), eyes()
    found = explain("occlusion", network, images, window=window, stride=stride)
    sides, steps = ([round(share * side) for side in (40, 48)] for share in (window, stride))
    with torch.no_grad():
        wanted = Occlusion(network).attribute(
            images,
            sliding_window_shapes=(3, *sides),
            strides=(3, *steps),
            baselines=baseline_of(images, "mean"),
            perturbations_per_eval=4,
        )
    torch.testing.assert_close(found, wanted[:, 0], rtol=1e-3, atol=1e-5)
