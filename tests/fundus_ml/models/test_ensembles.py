"""An ensemble is the mean of its members, as they are."""

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.ensembles import Ensemble
from tests.fundus_ml.tiny_learning import make_images

PIXELS = (((0.3, 0.2, 0.1), (0.3, 0.2, 0.15)), ((0.6, 0.5, 0.4), (0.1, 0.1, 0.3)))


def make_members():
    """Two architectures that normalise differently, one over both flips."""
    first, second = (
        ClassifierSpec(
            arch=arch, head_hidden=7, mean=mean, std=std, size=40, both_flips=arch == "resnet18"
        )
        for arch, (mean, std) in zip(("resnet18", "test_resnet"), PIXELS, strict=True)
    )
    return [make_classifier(spec, seed=seed).eval() for seed, spec in enumerate((first, second))]


def logit_and_gradient(model, images):
    """``(N,)`` and that of their sum by the images."""
    x = images.clone().requires_grad_()
    logit = model(x)
    return logit.detach(), torch.autograd.grad(logit.sum(), x)[0]


def test_logit_and_gradient_are_the_means_of_the_members():
    members, images = make_members(), make_images(4, 40, 40)
    each = [logit_and_gradient(member, images) for member in members]
    logit, gradient = logit_and_gradient(Ensemble(members).eval(), images)
    assert (each[0][0] - each[1][0]).abs().min() > 1e-3
    torch.testing.assert_close(logit, (each[0][0] + each[1][0]) / 2)
    torch.testing.assert_close(gradient, (each[0][1] + each[1][1]) / 2)


def test_one_network_is_no_ensemble():
    with pytest.raises(InputError, match="members: 1 given; an ensemble is two networks or more"):
        Ensemble(make_members()[:1])
