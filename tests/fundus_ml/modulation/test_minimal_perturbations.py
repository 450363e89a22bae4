"""Minimal perturbation norms against a closed form and against a sweep of budgets."""

import numpy as np
import pytest
import torch

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.imaging.pictures import to_images
from fundus_ml.modulation import minimal_perturbations, modulate
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels, options
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork

TARGET = 1 - LABELS


@pytest.mark.parametrize("masked", [False, True])
def test_linear_network_has_a_closed_form(masked):
    """Distance to the boundary along the weight that may move; 0 where it is crossed already."""
    model, pixels = LinearNetwork(6, 7, scale=0.05), make_pixels(low=100, high=150)
    allowed = np.random.default_rng(3).random((5, 6, 7)) < 0.7 if masked else None
    if allowed is not None:
        allowed[2] = False
    found = minimal_perturbations(model, pixels, TARGET, options(), allowed=allowed)
    weight = model.weight.detach().numpy()
    with torch.no_grad():
        margin = (2 * TARGET - 1) * model(to_images(pixels)).numpy()
    assert 0 < (margin > 0).sum() < 5
    for place in range(5):
        if allowed is not None and not allowed[place].any():
            assert np.isnan(found[place])
        elif margin[place] > 0:
            assert found[place] == 0
        else:
            free = weight if allowed is None else weight * allowed[place]
            assert found[place] == pytest.approx(
                -margin[place] / np.linalg.norm(free), rel=0.01, abs=1e-3
            )


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_agrees_with_a_fine_sweep(constraint):
    """The first of finely spaced budgets at which 200 steps of PGD flip the eye: within 3 %."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    with torch.no_grad():
        target = (model(to_images(pixels)) < 0).float()
    found = minimal_perturbations(model, pixels, target.numpy(), options(constraint=constraint))
    assert np.isfinite(found).all()
    assert (found > 0).all()
    shares = np.arange(0.96, 1.05, 0.01)
    budgets = torch.from_numpy(np.outer(shares, found).ravel()).float()
    images, targets = to_images(pixels).repeat(len(shares), 1, 1, 1), target.repeat(len(shares))
    x_adv = pgd(
        model, images, 1 - targets, target=targets, precision="fp32", attack_steps=200,
        threat=ThreatModel(constraint=constraint, eps=budgets), step_size=budgets / 20,
    )  # fmt: skip
    with torch.no_grad():
        flipped = ((2 * targets - 1) * model(x_adv) > 0).numpy().reshape(len(shares), 5)
    flipped_at = np.where(flipped, shares[:, None], np.inf).min(axis=0)
    assert flipped_at == pytest.approx(np.ones(5), abs=0.03)


def test_progress_counts_eyes():
    """To the end."""
    steps = []
    minimal_perturbations(
        LinearNetwork(6, 7), make_pixels(), TARGET, options(),
        on_step=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_no_larger_than_a_picture_that_turns(constraint):
    """One step finds no change for some eyes; where a picture turns one, its own size counts."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    model.convolution.weight.data *= 6
    eps = {"l2": (0.5, 1.0, 2.0), "linf": (2 / 255, 8 / 255, 32 / 255)}[constraint]
    how = options(constraint=constraint, eps=eps, attack_steps=20, min_norm_steps=1)
    with torch.no_grad():
        target = (model(to_images(pixels)) < 0).numpy().astype(np.float32)
    pictures = modulate(model, pixels, target, how)
    alone = minimal_perturbations(model, pixels, target, how)
    found = minimal_perturbations(model, pixels, target, how, pictures=pictures)
    change = (pictures.astype(float) - pixels) / 255
    size = np.sqrt((change**2).sum(axis=(2, 3, 4)))
    if constraint == "linf":
        size = np.abs(change).max(axis=(2, 3, 4))
    with torch.no_grad():
        flipped = [(2 * target - 1) * model(to_images(slab)).numpy() > 0 for slab in pictures]
    first = np.where(np.stack(flipped), size, np.inf).min(axis=0)
    assert (first < alone).any()
    np.testing.assert_allclose(found, np.minimum(alone, first), rtol=1e-5)
