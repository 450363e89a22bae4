"""Gradient maps: against captum, pytorch-grad-cam and plain loops."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, InputXGradient, Saliency
from torch import nn

from fundus_ml.attribution.explained_logit import generators
from fundus_ml.attribution.gradients import why_not_guided
from tests.fundus_ml.attribution.tiny_explanations import (
    SixNetwork,
    classifier,
    explain,
    eyes,
    small_classifier,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_grad_cam.guided_backprop import GuidedBackpropReLUModel


@pytest.mark.parametrize("both_flips", [False, True])
def test_plain_gradients_are_captums(both_flips):
    """Also where the logit is the mean over both flips."""
    network, images = small_classifier(both_flips=both_flips).eval(), eyes()
    saliency = Saliency(network).attribute(images.clone().requires_grad_(), abs=False)
    times = InputXGradient(network).attribute(images.clone().requires_grad_())
    for method, wanted in {
        "gradient": saliency.sum(1),
        "gradient_squared": saliency.square().sum(1),
        "gradient_times_input": times.sum(1),
    }.items():
        found = explain(method, network, images)
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-7)


def test_smoothgrad_averages_gradients_at_noisy_copies():
    """Each eye by noise of its own, of a share of its own range."""
    network, images = small_classifier().eval(), eyes(3, high=0.7)
    mean, squared = torch.zeros(3, 40, 48), torch.zeros(3, 40, 48)
    for place, (image, generator) in enumerate(zip(images, generators(images, 9), strict=True)):
        for _ in range(3):
            noise = torch.from_numpy(generator.standard_normal((3, 40, 48), np.float32))
            noisy = (image + 0.2 * (image.max() - image.min()) * noise).requires_grad_()
            (gradient,) = torch.autograd.grad(network(noisy[None]).sum(), noisy)
            mean[place] += gradient.sum(0) / 3
            squared[place] += gradient.square().sum(0) / 3
    found = explain("smoothgrad", network, images, noise=0.2, seed=9)
    torch.testing.assert_close(found, mean, rtol=1e-3, atol=1e-6)
    found = explain("smoothgrad_squared", network, images, noise=0.2, seed=9)
    torch.testing.assert_close(found, squared, rtol=1e-3, atol=1e-9)
    other = explain("smoothgrad_squared", network, images, noise=0.2, seed=8)
    assert not torch.allclose(other, squared, rtol=0.01)


@pytest.mark.parametrize("both_flips", [False, True])
def test_guided_backprop_is_that_of_the_libraries(both_flips):
    """Where every ReLU is an ``nn.ReLU``; they guide no other."""
    network, images = small_classifier(both_flips=both_flips).eval(), eyes(2)
    found = explain("guided_backprop", network, images)
    assert not torch.allclose(found, explain("gradient", network, images), rtol=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that it sets hooks
        captums = GuidedBackprop(network).attribute(images.clone().requires_grad_())
    torch.testing.assert_close(found, captums.sum(1).detach(), rtol=1e-4, atol=1e-7)

    guided = GuidedBackpropReLUModel(nn.Sequential(deepcopy(network), nn.Unflatten(0, (1, 1))))
    for place in range(2):
        theirs = guided(images[place : place + 1].clone(), target_category=0).sum(2)
        np.testing.assert_allclose(found[place], theirs, rtol=1e-3, atol=1e-7)


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(context, values, most):
        context.save_for_backward(values)
        context.most = most
        return values.clamp(0, most)

    @staticmethod
    def backward(context, gradient):
        (values,) = context.saved_tensors
        inside = (values > 0) & (values < context.most)
        return gradient * inside * (gradient > 0), None


def test_every_relu_is_guided():
    """ReLU6, in place, and functions too: against a rewrite of the network."""
    network, images = SixNetwork().eval(), eyes(2)
    leaf = images.clone().requires_grad_()
    before = 12 * network.first(leaf - 0.4)
    assert (before > 6).any()
    features = _Guided.apply(before, 6.0)
    features = _Guided.apply(network.second(features), torch.inf)
    features = _Guided.apply(network.third(features), torch.inf)
    (wanted,) = torch.autograd.grad(network.last(features.mean((2, 3))).sum(), leaf)
    found = explain("guided_backprop", network, images)
    torch.testing.assert_close(found, wanted.sum(1), rtol=1e-4, atol=1e-7)
    assert network.six.inplace


def test_says_why_it_cannot_guide():
    assert why_not_guided(classifier("efficientnet_lite0")) is None
    assert why_not_guided(classifier("test_vit")) == (
        "arch=test_vit has GELU and guided backpropagation is defined for ReLU"
    )
    assert why_not_guided(nn.Sequential(nn.Conv2d(3, 1, 2))) == "Sequential has no ReLU layer"
