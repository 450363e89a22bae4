"""XRAI: against its library, which computes gradients and segments itself."""

import numpy as np
import pytest
import torch
from saliency.core import XRAI, XRAIParameters
from saliency.core.base import INPUT_OUTPUT_GRADIENTS
from saliency.core.xrai import _get_segments_felzenszwalb

from fundus_ml.attribution.xrai import segments_of
from tests.fundus_ml.attribution.tiny_explanations import explain, eyes, small_classifier


def blocks(count=2):
    """Eyes of 8-pixel blocks of one colour each, with a little noise."""
    coarse = torch.nn.functional.interpolate(eyes(count)[:, :, :5, :6], scale_factor=8)
    return (0.9 * coarse + 0.05 * eyes(count, seed=1)).contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["fast", "full"])
def test_is_the_librarys(algorithm):
    """Also of segments that differ in their attribution."""
    network, images = small_classifier(both_flips=True).eval(), blocks()

    def gradients(pixels, call_model_args=None, expected_keys=None):
        assert call_model_args is None
        assert expected_keys == [INPUT_OUTPUT_GRADIENTS]
        leaf = torch.from_numpy(pixels).float().permute(0, 3, 1, 2).requires_grad_()
        (found,) = torch.autograd.grad(network(leaf).sum(), leaf)
        return {INPUT_OUTPUT_GRADIENTS: found.permute(0, 2, 3, 1).numpy()}

    found = explain("xrai", network, images, xrai=algorithm)
    for place, image in enumerate(images):
        wanted = XRAI().GetMask(
            image.permute(1, 2, 0).numpy(),
            gradients,
            batch_size=5,
            extra_parameters=XRAIParameters(steps=5, algorithm=algorithm),
        )
        assert len(np.unique(wanted)) > 3
        np.testing.assert_allclose(found[place], wanted, rtol=1e-3, atol=1e-8)


@pytest.mark.slow
def test_segments_are_the_librarys():
    eye = blocks(1)[0].permute(1, 2, 0).numpy()
    found, wanted = segments_of(eye), _get_segments_felzenszwalb(eye)
    assert len(found) == len(wanted) > 6
    assert all((one == other).all() for one, other in zip(found, wanted, strict=True))


def test_a_picture_of_one_value_has_no_segments():
    grey = torch.full((1, 3, 40, 48), 0.3)
    assert (explain("xrai", small_classifier(), grey) == 0).all()
